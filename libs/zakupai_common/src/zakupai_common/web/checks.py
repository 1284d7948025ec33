"""The checks behind ``/ready``.

What lives here: one function a part, each making a ``Check``. What never does: a route.
"""

import redis.exceptions
from redis.asyncio import Redis

from zakupai_common.db import Database, DatabaseUnavailableError
from zakupai_common.vault.store import Health, SecretStore
from zakupai_common.web.health import Check, NotReadyError


def secrets_check(store: SecretStore) -> Check:
    """Every required secret can be read; old ones count until their declared age."""

    async def check() -> str:
        health = store.health()
        if not health.ready:
            raise NotReadyError(f"secrets: {health.trouble or 'too old'}")
        return "present" if health.fresh else f"served from memory: {_why(health)}"

    return check


def _why(health: Health) -> str:
    names = ", ".join(health.failing)
    return health.trouble_code or f"not read anew: {names}"


def database_check(database: Database, wanted_revision: str) -> Check:
    """PostgreSQL answers, and its schema is the one that this code was written for."""

    async def check() -> str:
        try:
            found = await database.revision()
        except DatabaseUnavailableError:
            raise NotReadyError("PostgreSQL does not answer") from None
        if found != wanted_revision:
            raise NotReadyError(f"the schema is at {found or 'nothing'}, not {wanted_revision}")
        return f"answers; schema {found}"

    return check


def redis_check(client: "Redis") -> Check:
    """Redis answers a PING."""

    async def check() -> str:
        try:
            await client.ping()
        except (redis.exceptions.RedisError, OSError):
            raise NotReadyError("Redis does not answer") from None
        return "answers"

    return check
