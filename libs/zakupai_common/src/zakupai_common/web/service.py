"""A service: what it declares, and the app that comes of it.

What lives here: the declaration and how its parts are put together around FastAPI. What never
does: what one service computes, or a process (``run.py``).
Invariants: no route answers without the gateway's proof but ``/health``, ``/ready`` and
``/metrics``; the app exists only with a store whose declared secrets are all present.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from zakupai_common.db import Database, DatabaseLogin, DatabaseSettings, DatabaseUnavailableError
from zakupai_common.migrations import newest_revision
from zakupai_common.redis import RedisSettings, make_redis
from zakupai_common.vault.declared import Declared
from zakupai_common.vault.errors import StaleSecretError, VaultClientError
from zakupai_common.vault.store import SecretStore
from zakupai_common.web.answering import Answering
from zakupai_common.web.body_limit import DEFAULT_BYTES, BodyLimit
from zakupai_common.web.checks import database_check, redis_check, secrets_check
from zakupai_common.web.errors import (
    install_error_answers,
    problem_responses,
    problem_schemas,
    unavailable,
)
from zakupai_common.web.health import Check, health_router
from zakupai_common.web.identity import OPEN_PATHS, SIGNATURE, Identity
from zakupai_common.web.info import info_router
from zakupai_common.web.logs import log_answer
from zakupai_common.web.metrics import HttpMetrics, SecretsCollector
from zakupai_common.web.parts import Parts
from zakupai_common.web.request_id import RequestId
from zakupai_common.web.settings import ServiceSettings

Lifetime = Callable[[Parts], AbstractAsyncContextManager[None]]
"""Something that a service starts and stops with the app (a client, a background task)."""
Guard = Callable[[ASGIApp, Parts], ASGIApp]
"""Gets what it stands before, body limit included."""
_COMMON_ANSWERS = (400, 401, 403, 413, 422, 500, 503)


@dataclass(frozen=True)
class Service:
    """``package`` holds the migrations; ``body_limits`` are bytes for exact paths."""

    name: str
    package: str
    version: str
    title: str
    description: str
    routers: Sequence[APIRouter]
    secrets: Sequence[Declared[Any]] = ()
    database: bool = False
    redis: bool = False
    body_limits: Mapping[str, int] = field(default_factory=dict)
    lifetimes: Sequence[Lifetime] = ()
    urls: Sequence[str] = ()
    """Names of what else it must know the address of: ``parts.settings.urls``."""
    options: Sequence[str] = ()
    """Names of its own settings in the environment, ``ZAKUPAI_NAME_…``; none of them secret."""
    guard: Guard | None = None
    """Decides who passes instead of the gateway's proof: the gateway itself has none to show."""

    @cached_property
    def home(self) -> str:
        """The folder of its secrets below the mount."""
        return f"services/{self.name}"

    @cached_property
    def identity_key(self) -> Declared[str]:
        """What the gateway signs requests to this service with."""
        return Declared("identity key", f"{self.home}/identity", "key")

    @cached_property
    def also_identity_key(self) -> Declared[str]:
        """A key that counts as well, while the key is being exchanged."""
        return Declared("other identity key", f"{self.home}/identity", "also", required=False)

    @cached_property
    def database_user(self) -> Declared[str]:
        return Declared("database user", f"{self.home}/database", "user")

    @cached_property
    def database_password(self) -> Declared[str]:
        return Declared("database password", f"{self.home}/database", "password")

    @cached_property
    def redis_password(self) -> Declared[str]:
        return Declared("Redis password", "shared/redis", "password")

    def declared(self) -> list[Declared[Any]]:
        """Every secret it needs: its own, and those of its parts."""
        found: list[Declared[Any]] = list(self.secrets)
        if self.guard is None:
            found += [self.identity_key, self.also_identity_key]
        if self.database:
            found += [self.database_user, self.database_password]
        if self.redis:
            found.append(self.redis_password)
        return found

    def identity_keys(self, store: SecretStore) -> list[bytes]:
        """The keys that count now. Raises ProblemError 503 when they are too old to be used."""
        try:
            keys = [store[self.identity_key], store.get(self.also_identity_key)]
        except StaleSecretError:
            raise unavailable("Vault", 5) from None
        return [key.reveal().encode() for key in keys if key is not None]

    def database_login(self, store: SecretStore) -> DatabaseLogin:
        """Who it is in PostgreSQL now. Raises StaleSecretError."""
        user, password = store.together(self.database_user, self.database_password)
        return DatabaseLogin(user.reveal(), password)

    def live_values(self, store: SecretStore) -> list[str]:
        """Every secret text that the process holds now; what logs must not show."""
        found = []
        for one in self.declared():
            if one is not self.database_user:
                try:
                    secret = store.get(one)
                except VaultClientError:
                    continue
                found += [] if secret is None else _texts(secret.reveal())
        return found


def _texts(value: object) -> list[str]:
    if isinstance(value, dict | list):
        inside = value.values() if isinstance(value, dict) else value
        return [text for one in inside for text in _texts(one)]
    return [str(value)]


def database_settings(settings: ServiceSettings) -> DatabaseSettings:
    """Where the service's database is."""
    return DatabaseSettings(settings.database_host, settings.database_name, settings.database_port)


def create_app(service: Service, settings: ServiceSettings, store: SecretStore) -> FastAPI:
    """The app over a started store. Whoever started the store closes it, after the app."""
    parts = Parts(settings, store)
    app = _App(
        title=service.title,
        version=service.version,
        description=service.description,
        lifespan=_lifespan(service, parts),
        docs_url=None,
        redoc_url=None,
        responses=problem_responses(*_COMMON_ANSWERS),
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked at every request
    )
    app.state.parts = parts
    app.state.registry = parts.registry
    app.state.checks = {}
    install_error_answers(app)
    app.add_exception_handler(DatabaseUnavailableError, _answer_no_database)
    app.add_exception_handler(StaleSecretError, _answer_stale)
    app.include_router(health_router(service.name, service.version))
    if service.guard is None:  # what has no gateway before it tells strangers nothing
        names = [declared.name for declared in service.declared()]
        app.include_router(info_router(service.name, service.version, names))
    for router in service.routers:
        app.include_router(router)
    metrics = HttpMetrics(service.name, parts.registry)
    parts.registry.register(SecretsCollector(service.name, store))
    app.around = partial(_around, service, parts, metrics)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


class _App(FastAPI):
    """FastAPI within our layers, so that what a layer answers itself costs nothing of FastAPI's."""

    around: Callable[[ASGIApp], ASGIApp]

    def build_middleware_stack(self) -> ASGIApp:
        outermost = super().build_middleware_stack()
        # It answers for exceptions that nobody foresaw; here Answering does.
        assert isinstance(outermost, ServerErrorMiddleware)
        return self.around(outermost.app)


def _around(service: Service, parts: Parts, metrics: HttpMetrics, app: ASGIApp) -> ASGIApp:
    """The innermost first."""
    if service.guard is None:
        app = Identity(app, keys=lambda: service.identity_keys(parts.secrets))
    app = BodyLimit(app, default_bytes=DEFAULT_BYTES, paths=service.body_limits)
    if service.guard is not None:
        app = service.guard(app, parts)
    return RequestId(Answering(app, observers=(metrics.answered, log_answer)))


def _lifespan(
    service: Service, parts: Parts
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store = parts.secrets
        checks: dict[str, Check] = {"secrets": secrets_check(store)}
        async with AsyncExitStack() as stack:
            if service.database:
                database = Database(
                    database_settings(parts.settings), lambda: service.database_login(store)
                )
                stack.push_async_callback(database.close)
                parts.use_database(database)
                checks["database"] = database_check(database, newest_revision(service.package))
            if service.redis:
                redis = make_redis(
                    RedisSettings(
                        parts.settings.redis_host,
                        parts.settings.redis_port,
                        parts.settings.redis_timeout_seconds,
                    ),
                    lambda: store[service.redis_password],
                )
                stack.push_async_callback(redis.aclose)
                parts.use_redis(redis)
                checks["redis"] = redis_check(redis)
            for lifetime in service.lifetimes:
                await stack.enter_async_context(lifetime(parts))
            app.state.checks = checks
            yield

    return lifespan


async def _answer_no_database(_: Request, __: Exception) -> Response:
    return unavailable("PostgreSQL").response()


async def _answer_stale(_: Request, __: Exception) -> Response:
    return unavailable("Vault", 5).response()


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(problem_schemas())
    components["securitySchemes"] = {
        "gateway": {
            "type": "apiKey",
            "in": "header",
            "name": SIGNATURE,
            "description": "The gateway's HMAC over the request and the identity headers",
        }
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["security"] = [] if path in OPEN_PATHS else [{"gateway": []}]
    app.openapi_schema = document
    return document
