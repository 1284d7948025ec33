"""AppRole: logins of programs by role_id and secret_id.

What lives here: the paths of a mount of type ``approle`` and the sweep that removes dead secret
ids. What never does: the rules of roles (``approle_roles``), of secret ids (``approle_secret_ids``)
and of logins (``approle_login``).
Source: ``docs/api/approle.md``.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from zvault.base.errors import ZvaultError
from zvault.engine.api import Auth, MountContext, Operation, Request, Response
from zvault.engine.backends.approle.fields import SUB_FIELDS
from zvault.engine.backends.approle.login import log_in, renewed
from zvault.engine.backends.approle.roles import ROLE_FIELDS
from zvault.engine.backends.approle.secret_ids import SECRET_ID_FIELDS, SecretIds
from zvault.engine.backends.approle.service import Roles
from zvault.engine.backends.approle.store import AppRoleStore
from zvault.engine.backends.approle.sweep import sweep
from zvault.engine.backends.framework import FieldData, Handler, Route, Router
from zvault.engine.errors import UnsupportedOperationError

SWEEP_SECONDS = 3600.0
_log = logging.getLogger(__name__)
_NAME = r"(?P<role_name>(?a:\w(?:[\w.-]*\w)?))"
_TIDY_WARNING = (
    "Tidy operation successfully started. Any information from the operation will be printed to "
    "Vault's server logs."
)
_READ, _UPDATE, _DELETE, _LIST = (
    Operation.READ,
    Operation.UPDATE,
    Operation.DELETE,
    Operation.LIST,
)
OfRole = Callable[[str, FieldData], Awaitable[Response | None]]


class AppRole:
    """The backend of one mount."""

    unauthenticated_paths = ("login",)
    root_paths = ()

    def __init__(self, context: MountContext) -> None:
        self._context = context
        self._store = AppRoleStore(context.view, context.random_bytes)
        self._router = Router(self._routes())
        self._sweeper: asyncio.Task[None] | None = None
        self._sweep_now = asyncio.Event()

    def _routes(self) -> list[Route]:
        roles = Roles(self._context, self._store)
        ids = SecretIds(self._context, self._store)

        async def create(name: str, data: FieldData) -> Response:
            return await ids.create(name, data, custom=False)

        async def create_custom(name: str, data: FieldData) -> Response:
            return await ids.create(name, data, custom=True)

        async def names(request: Request, data: FieldData) -> Response | None:
            found = await self._store.role_names()
            return Response(data={"keys": found}) if found else None

        async def exists(request: Request, data: FieldData) -> bool:
            return await self._store.role(data["role_name"]) is not None

        destroy, destroy_accessor = _of_role(ids.destroy), _of_role(ids.destroy_accessor)
        role = {_READ: roles.read, _UPDATE: roles.write, _DELETE: roles.delete}
        role_id = {_READ: roles.read_role_id, _UPDATE: roles.write_role_id}
        secret_ids: dict[str, dict[Operation, Handler]] = {
            "secret-id/?": {_UPDATE: _of_role(create), _LIST: _of_role(_name_only(ids.list))},
            "custom-secret-id": {_UPDATE: _of_role(create_custom)},
            "secret-id/lookup": {_UPDATE: _of_role(ids.look_up)},
            "secret-id/destroy": {_UPDATE: destroy, _DELETE: destroy},
            "secret-id-accessor/lookup": {_UPDATE: _of_role(ids.look_up_accessor)},
            "secret-id-accessor/destroy": {_UPDATE: destroy_accessor, _DELETE: destroy_accessor},
        }
        routes = [
            Route("role/?", {_LIST: names}),
            Route("tidy/secret-id", {_UPDATE: self._tidy}),
            Route(
                f"role/{_NAME}",
                {operation: _of_role(method) for operation, method in role.items()},
                ROLE_FIELDS,
                exists,
            ),
            Route(
                f"role/{_NAME}/role-id",
                {operation: _of_role(method) for operation, method in role_id.items()},
                ROLE_FIELDS,
            ),
        ]
        for path, handlers in secret_ids.items():
            routes.append(Route(f"role/{_NAME}/{path}", handlers, SECRET_ID_FIELDS))
        for path, field in SUB_FIELDS.items():
            methods = roles.of_field(field)
            handlers = {operation: _of_role(method) for operation, method in methods.items()}
            routes.append(Route(f"role/{_NAME}/{path}", handlers, ROLE_FIELDS))
        return routes

    async def role_of_login(self, path: str, data: Mapping[str, Any]) -> str:
        """The role that a login is for, by the role_id it brings; "" for none (rate limits)."""
        role_id = data.get("role_id")
        if path != "login" or not isinstance(role_id, str) or not role_id.strip():
            return ""
        return await self._store.name_of(role_id.strip()) or ""

    async def start(self) -> None:
        """Begin to sweep dead secret ids, once an hour."""
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._keep_sweeping(), name="approle-sweep")

    async def stop(self) -> None:
        """End the sweep; what it has begun it may leave half done, the next one goes on."""
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sweeper

    async def _keep_sweeping(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._sweep_now.wait(), SWEEP_SECONDS)
            self._sweep_now.clear()
            try:
                await self.sweep()
            except ZvaultError as error:
                # Logins check expiry themselves, so a sweep may wait for its next turn.
                _log.warning("sweep of %s failed: %s", self._context.entry.path, error.message)

    async def sweep(self) -> int:
        """Remove expired and dangling entries now; how many. Raises RecordError, StorageError."""
        return await sweep(self._store, self._context.clock)

    async def exists(self, request: Request) -> bool | None:
        """Existence check of roles; None for every other path."""
        if request.relative_path == "login":
            return None
        return await self._router.exists(request)

    async def handle(self, request: Request) -> Response | None:
        """Serve one request."""
        if request.relative_path == "login":
            if request.operation not in (Operation.UPDATE, Operation.CREATE):
                raise UnsupportedOperationError("1 error occurred:\n\t* unsupported operation\n\n")
            return Response(auth=await log_in(self._context, self._store, request))
        return await self._router.handle(request)

    async def renew(self, auth: Auth) -> Auth:
        """What a renewal grants: the role as it is now. Raises InvalidRequestError."""
        return await renewed(self._store, auth)

    async def _tidy(self, request: Request, data: FieldData) -> Response:
        self._sweep_now.set()
        return Response(status=202, warnings=[_TIDY_WARNING])


def _of_role(method: OfRole) -> Handler:
    async def handler(request: Request, data: FieldData) -> Response | None:
        return await method(data["role_name"].lower(), data)

    return handler


def _name_only(method: Callable[[str], Awaitable[Response | None]]) -> OfRole:
    async def of_role(name: str, data: FieldData) -> Response | None:
        return await method(name)

    return of_role


def make(context: MountContext) -> AppRole:
    """The backend for one mount."""
    return AppRole(context)
