"""``sys/capabilities*``: what a token can do.

Source: ``docs/api/sys.md``.
"""

from typing import Any

from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InvalidRequestError
from zvault.engine.services import Services
from zvault.engine.tokens.sessions import Session

_FIELDS = {
    "token": Field(FieldKind.STRING, ""),
    "accessor": Field(FieldKind.STRING, ""),
    "paths": Field(FieldKind.COMMA_LIST, []),
    "path": Field(FieldKind.COMMA_LIST, []),
}


class Capabilities:
    """Three routes that differ in whose rights are asked for."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route("capabilities", {Operation.UPDATE: self._of_token}, _FIELDS),
            Route("capabilities-self", {Operation.UPDATE: self._of_self}, _FIELDS),
            Route("capabilities-accessor", {Operation.UPDATE: self._of_accessor}, _FIELDS),
        ]

    async def _of_token(self, request: Request, data: FieldData) -> Response:
        paths = _paths(data)
        session = await self._find(data["token"])
        if session is None:
            raise InvalidRequestError("1 error occurred:\n\t* invalid token\n\n")
        return _answer(session, paths)

    async def _of_self(self, request: Request, data: FieldData) -> Response:
        paths = _paths(data)
        session = await self._find(request.client_token)
        if session is None and request.token is not None:
            # A token on its last use: dead for everybody, alive for this request.
            session = await self._services.sessions.read(request.token.id, used_up=True)
            if session is not None:
                session = await self._services.sessions.rights(session)
        if session is None:
            raise InvalidRequestError("1 error occurred:\n\t* invalid token\n\n")
        return _answer(session, paths)

    async def _of_accessor(self, request: Request, data: FieldData) -> Response:
        paths = _paths(data)
        if not data["accessor"]:
            raise InvalidRequestError("missing accessor")
        inner = await self._services.tokens.store.id_of_accessor(data["accessor"])
        now_ns = self._services.clock.now_ns()
        session = None if inner is None else await self._services.sessions.find(inner, now_ns)
        if session is None:
            raise InvalidRequestError("1 error occurred:\n\t* invalid accessor\n\n")
        if session.entity_disabled:
            raise InvalidRequestError("1 error occurred:\n\t* invalid token\n\n")
        return _answer(session, paths)

    async def _find(self, token: str) -> Session | None:
        """None also for a token that is let in nowhere, because its entity is not."""
        session = await self._services.sessions.find(token, self._services.clock.now_ns())
        return None if session is None or session.entity_disabled else session


def _paths(data: FieldData) -> list[str]:
    paths: list[str] = data.first("paths", "path")
    if not paths:
        raise InvalidRequestError("paths must be supplied")
    if "" in paths:
        raise InvalidRequestError("1 error occurred:\n\t* missing path\n\n")
    return paths


def _answer(session: Session, paths: list[str]) -> Response:
    data: dict[str, Any] = {}
    for path in paths:
        data[path] = session.acl.capabilities(path.removeprefix("/"))
    if len(paths) == 1:
        data["capabilities"] = data[paths[0]]
    return Response(data=data)
