"""``sys/internal/ui``: what clients ask before they ask for a secret.

What lives here: mounts a token can reach, its compiled rights. Invariant: a mount that a token
cannot reach looks like one that does not exist. Source: ``docs/api/sys.md``.
"""

from typing import Any

from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.backends.system.mounts import Mounts
from zvault.engine.errors import PermissionDeniedError
from zvault.engine.mounts.mounted import prefix_of
from zvault.engine.services import Services
from zvault.engine.tokens.sessions import Session
from zvault.records.mounts import AUTH, MOUNTS, MountEntry


class Ui:
    """Routes below ``sys/internal/ui``; the two about mounts need no token to be asked."""

    def __init__(self, services: Services, mounts: Mounts) -> None:
        self._services = services
        self._mounts = mounts

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route("internal/ui/mounts/?", {Operation.READ: self._list}),
            Route(
                "internal/ui/mounts/(?P<path>.+)",
                {Operation.READ: self._one},
                {"path": Field(FieldKind.STRING, "")},
            ),
            Route("internal/ui/resultant-acl", {Operation.READ: self._acl}),
            Route("internal/ui/feature-flags", {Operation.READ: self._flags}),
            Route("internal/ui/namespaces", {Operation.READ: self._namespaces}),
        ]

    async def _session(self, request: Request) -> Session | None:
        if not request.client_token:
            return None
        session = await self._services.sessions.find(
            request.client_token, self._services.clock.now_ns()
        )
        if session is None or session.entity_disabled:
            return None
        return session if session.admits(request.remote_address) else None

    async def _list(self, request: Request, data: FieldData) -> Response:
        session = await self._session(request)
        if request.client_token and session is None:
            raise PermissionDeniedError("permission denied")
        shown = {"auth": self._table(AUTH, session), "secret": self._table(MOUNTS, session)}
        return Response(data=shown)

    def _table(self, table: str, session: Session | None) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for entry in sorted(self._services.mounts.entries(table), key=lambda item: item.path):
            if session is not None and session.acl.reaches(prefix_of(entry)):
                result[entry.path] = self._mounts.info(entry)
            elif entry.config.listing_visibility == "unauth":
                result[entry.path] = _public(entry)
        return result

    async def _one(self, request: Request, data: FieldData) -> Response:
        path = data["path"].strip("/")
        session = await self._session(request)
        if session is None:
            raise PermissionDeniedError("permission denied")
        found = self._services.mounts.router.find(path)
        if found is None or not session.acl.reaches(found[0]):
            raise PermissionDeniedError(
                "preflight capability check returned 403, please ensure client's policies grant "
                f'access to path "{path}/"'
            )
        prefix, mounted = found
        shown = self._mounts.info(mounted.entry)
        shown["path"] = prefix
        return Response(data=shown)

    async def _acl(self, request: Request, data: FieldData) -> Response:
        session = await self._session(request)
        if session is None:
            raise PermissionDeniedError("permission denied")
        if session.acl.is_root:
            return Response(data={"root": True})
        return Response(data=session.acl.describe())

    async def _namespaces(self, request: Request, data: FieldData) -> Response:
        """There are none; asked by everybody's web interface, so it is no error."""
        return Response(data={})

    async def _flags(self, request: Request, data: FieldData) -> Response:
        return Response(data={"feature_flags": []})


def _public(entry: MountEntry) -> dict[str, Any]:
    """What strangers see of a mount that wants to be seen."""
    return {
        "description": entry.description,
        "options": dict(entry.options or {}),
        "type": entry.type,
    }
