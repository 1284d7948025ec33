"""``sys/policies/acl`` and the older ``sys/policy``.

What lives here: fields, the two shapes of an answer. Source: ``docs/formats/policies.md``.
"""

import base64
import binascii

from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InvalidRequestError
from zvault.engine.services import Services

_FIELDS = {
    "name": Field(FieldKind.STRING, ""),
    "policy": Field(FieldKind.STRING, ""),
    "rules": Field(FieldKind.STRING, ""),
}


class Policies:
    """Routes below ``sys/policies/acl`` and ``sys/policy``."""

    def __init__(self, services: Services) -> None:
        self._policies = services.policies

    def routes(self) -> list[Route]:
        """The path table."""
        changes = {Operation.UPDATE: self._write, Operation.DELETE: self._delete}
        return [
            Route("policies/acl/?", {Operation.LIST: self._list}),
            Route("policies/acl/(?P<name>.+)", {Operation.READ: self._read, **changes}, _FIELDS),
            Route("policy/?", {Operation.READ: self._list_twice, Operation.LIST: self._list_twice}),
            Route("policy/(?P<name>.+)", {Operation.READ: self._read_rules, **changes}, _FIELDS),
        ]

    async def _list(self, request: Request, data: FieldData) -> Response:
        return Response(data={"keys": await self._policies.names()})

    async def _list_twice(self, request: Request, data: FieldData) -> Response:
        names = await self._policies.names()
        return Response(data={"keys": names, "policies": names})

    async def _read(self, request: Request, data: FieldData) -> Response | None:
        text = await self._policies.text(data["name"])
        return None if text is None else Response(data={"name": data["name"], "policy": text})

    async def _read_rules(self, request: Request, data: FieldData) -> Response | None:
        text = await self._policies.text(data["name"])
        return None if text is None else Response(data={"name": data["name"], "rules": text})

    async def _write(self, request: Request, data: FieldData) -> Response | None:
        name = data["name"]
        warnings = []
        text = data["policy"]
        if not text and data["rules"]:
            text = data["rules"]
            warnings.append("'rules' is deprecated, please use 'policy' instead")
        if not text:
            raise InvalidRequestError("'policy' parameter not supplied or empty")
        if name != name.lower():
            warnings.append(f"policy name was converted to {name.lower()}")
        await self._policies.put(name, _decoded(text))
        return Response(warnings=warnings) if warnings else None

    async def _delete(self, request: Request, data: FieldData) -> None:
        await self._policies.delete(data["name"])


def _decoded(text: str) -> str:
    """Text that is base64 from end to end is what it encodes."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return text
