"""``sys/config/cors`` and ``sys/config/ui/headers``: what browsers are told.

What lives here: fields and answers. This server has no web interface of its own: its headers are
kept for the server that has one. Source: ``docs/api/sys.md``; texts as OpenBao 2.6.2 answers them.
"""

import asyncio
from typing import Any

from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InvalidRequestError
from zvault.engine.services import Services
from zvault.records.system_config import UI_KEY, decode_ui_headers, encode_ui_headers
from zvault.storage.api import Put

_CORS_FIELDS = {
    "enable": Field(FieldKind.BOOL, False),
    "allowed_origins": Field(FieldKind.COMMA_LIST, []),
    "allowed_headers": Field(FieldKind.COMMA_LIST, []),
}
_HEADER_FIELDS = {
    "header": Field(FieldKind.STRING, ""),
    "values": Field(FieldKind.WORDS, []),
    "multivalue": Field(FieldKind.BOOL, False),
}
_CSP = "Content-Security-Policy"


class Web:
    """Routes about browsers."""

    def __init__(self, services: Services) -> None:
        self._cors = services.cors
        self._barrier = services.raw
        self._changing = asyncio.Lock()

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route(
                "config/cors",
                {
                    Operation.READ: self._cors_read,
                    Operation.UPDATE: self._cors_write,
                    Operation.DELETE: self._cors_delete,
                },
                _CORS_FIELDS,
            ),
            Route("config/ui/headers/?", {Operation.LIST: self._headers}),
            Route(
                r"config/ui/headers/(?P<header>\w(?:(?:[\w.-]+)?\w)?)",
                {
                    Operation.READ: self._header,
                    Operation.UPDATE: self._set_header,
                    Operation.DELETE: self._drop_header,
                },
                _HEADER_FIELDS,
            ),
        ]

    async def _cors_read(self, request: Request, data: FieldData) -> Response:
        config = self._cors.config
        shown: dict[str, Any] = {"enabled": config.enabled}
        if config.enabled:
            shown["allowed_origins"] = list(config.allowed_origins)
            shown["allowed_headers"] = list(config.allowed_headers)
        return Response(data=shown)

    async def _cors_write(self, request: Request, data: FieldData) -> None:
        await self._cors.enable(data["allowed_origins"], data["allowed_headers"])

    async def _cors_delete(self, request: Request, data: FieldData) -> None:
        await self._cors.disable()

    async def _stored(self) -> dict[str, list[str]]:
        content = await self._barrier.get(UI_KEY)
        return decode_ui_headers(content) if content is not None else {}

    async def _headers(self, request: Request, data: FieldData) -> Response:
        return Response(data={"keys": sorted(await self._stored())})

    async def _header(self, request: Request, data: FieldData) -> Response | None:
        values = (await self._stored()).get(_canonical(data["header"]))
        if not values:
            return None
        if data["multivalue"]:
            return Response(data={"values": values})
        return Response(data={"value": values[0]})

    async def _set_header(self, request: Request, data: FieldData) -> Response:
        name, values = _canonical(data["header"]), data["values"]
        if name.startswith("X-Vault-"):
            raise InvalidRequestError("X-Vault headers cannot be set")
        if not values:
            raise InvalidRequestError("header and values must be specified")
        async with self._changing:
            await self._save({**await self._stored(), name: values})
        warning = f"overriding default {_CSP} which is secure by default, proceed with caution"
        return Response(warnings=[warning] if name == _CSP else [])

    async def _drop_header(self, request: Request, data: FieldData) -> None:
        async with self._changing:
            kept = await self._stored()
            if kept.pop(_canonical(data["header"]), None) is not None:
                await self._save(kept)

    async def _save(self, headers: dict[str, list[str]]) -> None:
        await self._barrier.apply([Put(UI_KEY, encode_ui_headers(headers))])


def _canonical(name: str) -> str:
    """``x-foo`` → ``X-Foo``, as Go's textproto writes header names."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))
