"""``sys/audit``, ``sys/audit-hash``, ``sys/config/auditing/request-headers``.

What lives here: fields and answers. What never does: a device (``engine/audit``). Source:
``docs/formats/audit.md``.
"""

from typing import Any

from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InvalidRequestError
from zvault.engine.services import Services

_FIELDS = {
    "path": Field(FieldKind.STRING, ""),
    "type": Field(FieldKind.STRING, ""),
    "description": Field(FieldKind.STRING, ""),
    "options": Field(FieldKind.KV_PAIRS, {}),
    "local": Field(FieldKind.BOOL, False),
}
_HEADER = {"header": Field(FieldKind.STRING, ""), "hmac": Field(FieldKind.BOOL, False)}


class Audit:
    """Routes about audit devices."""

    def __init__(self, services: Services) -> None:
        self._devices = services.audit

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route("audit/?", {Operation.READ: self._list, Operation.LIST: self._list}),
            Route(
                "audit/(?P<path>.+?)/?",
                {Operation.UPDATE: self._enable, Operation.DELETE: self._disable},
                _FIELDS,
            ),
            Route(
                "audit-hash/(?P<path>.+?)/?",
                {Operation.UPDATE: self._hash},
                {"path": Field(FieldKind.STRING, ""), "input": Field(FieldKind.STRING, "")},
            ),
            Route("config/auditing/request-headers/?", {Operation.READ: self._headers}),
            Route(
                "config/auditing/request-headers/(?P<header>.+)",
                {
                    Operation.READ: self._header,
                    Operation.UPDATE: self._set_header,
                    Operation.DELETE: self._drop_header,
                },
                _HEADER,
            ),
        ]

    async def _list(self, request: Request, data: FieldData) -> Response:
        shown: dict[str, Any] = {}
        for path, entry in sorted(self._devices.list().items()):
            shown[path] = {
                "description": entry.description,
                "local": entry.local,
                "options": dict(entry.options or {}),
                "path": path,
                "type": entry.type,
            }
        return Response(data=shown)

    async def _enable(self, request: Request, data: FieldData) -> None:
        await self._devices.enable(
            data["path"],
            kind=data["type"],
            description=data["description"],
            options=data["options"],
            local=data["local"],
        )

    async def _disable(self, request: Request, data: FieldData) -> None:
        await self._devices.disable(data["path"])

    async def _hash(self, request: Request, data: FieldData) -> Response:
        return Response(data={"hash": self._devices.hash(data["path"], data["input"])})

    async def _headers(self, request: Request, data: FieldData) -> Response:
        shown = {name: {"hmac": hmac} for name, hmac in sorted(self._devices.headers.all().items())}
        return Response(data={"headers": shown})

    async def _header(self, request: Request, data: FieldData) -> Response:
        hmac = self._devices.headers.all().get(data["header"].lower())
        if hmac is None:
            raise InvalidRequestError("Could not find header in config")
        return Response(data={data["header"]: {"hmac": hmac}})

    async def _set_header(self, request: Request, data: FieldData) -> None:
        await self._devices.headers.set(data["header"], hmac=data["hmac"])

    async def _drop_header(self, request: Request, data: FieldData) -> None:
        await self._devices.headers.remove(data["header"])
