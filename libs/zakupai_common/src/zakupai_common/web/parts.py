"""What a running service holds: its settings, secrets, database, Redis, metrics, clock.

What lives here: the value that routes get. What never does: how the parts are made.
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from zakupai_common.db import Database
from zakupai_common.vault.store import SecretStore
from zakupai_common.web.settings import ServiceSettings

T = TypeVar("T")


def utc_now() -> datetime.datetime:
    """The time, aware."""
    return datetime.datetime.now(datetime.UTC)


@dataclass
class Parts:
    """``app.state.parts``. ``clock`` is replaced by tests that need another time."""

    settings: ServiceSettings
    secrets: SecretStore
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    clock: Callable[[], datetime.datetime] = utc_now
    _database: Database | None = None
    _redis: Redis | None = None
    _own: dict[type[Any], Any] = field(default_factory=dict)

    @property
    def database(self) -> Database:
        """Raises LookupError for a service that declared none."""
        if self._database is None:
            raise LookupError("this service has no database")
        return self._database

    @property
    def redis(self) -> Redis:
        """Raises LookupError for a service that declared none."""
        if self._redis is None:
            raise LookupError("this service has no Redis")
        return self._redis

    def use_database(self, database: Database) -> None:
        """From now on this is it."""
        self._database = database

    def use_redis(self, redis: Redis) -> None:
        """From now on this is it."""
        self._redis = redis

    def put(self, part: object) -> None:
        """A part of the service's own, made by a ``Lifetime``; found again by its type."""
        self._own[type(part)] = part

    def own(self, kind: type[T]) -> T:
        """The part of this type. Raises LookupError before its lifetime began."""
        part: T | None = self._own.get(kind)
        if part is None:
            raise LookupError(f"this service has no {kind.__name__}")
        return part


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsDependency = Annotated[Parts, Depends(_parts)]
"""``parts: PartsDependency`` in a route's signature."""
