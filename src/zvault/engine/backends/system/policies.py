"""``sys/policies/acl`` and the older ``sys/policy``.

What lives here: fields, the two shapes of an answer, and what only stores of OpenBao know of a
policy (expiry, check-and-set). Source: ``docs/formats/policies.md``.
"""

import base64
import binascii
from typing import Any

from zvault.base.gotime import ZERO_NS, format_time, parse_moment
from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InvalidRequestError
from zvault.engine.policy.store import PolicyWish
from zvault.engine.services import Services
from zvault.engine.userdata import Timestamp
from zvault.records.policies import Upkeep

_FIELDS = {
    "name": Field(FieldKind.STRING, ""),
    "policy": Field(FieldKind.STRING, ""),
    "rules": Field(FieldKind.STRING, ""),
    "expiration": Field(FieldKind.ANY),
    "ttl": Field(FieldKind.DURATION, 0),
    "cas": Field(FieldKind.INT),
    "cas_required": Field(FieldKind.BOOL, False),
    "allow_slashes_in_identity_templates": Field(FieldKind.BOOL, False),
    "allow_wildcards_in_identity_templates": Field(FieldKind.BOOL, False),
}


class Policies:
    """Routes below ``sys/policies/acl`` and ``sys/policy``."""

    def __init__(self, services: Services) -> None:
        self._policies = services.policies
        self._clock = services.clock

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
        return await self._shown(data["name"], "policy")

    async def _read_rules(self, request: Request, data: FieldData) -> Response | None:
        return await self._shown(data["name"], "rules")

    async def _shown(self, name: str, word: str) -> Response | None:
        text = await self._policies.text(name)
        if text is None:
            return None
        shown: dict[str, Any] = {"name": name, word: text}
        upkeep = await self._policies.upkeep(name)
        if upkeep is not None:
            shown |= _upkeep_shown(upkeep)
        return Response(data=shown)

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
        # Vault knows none of it and takes no notice.
        wish = None if await self._policies.upkeep(name) is None else self._wish(data)
        await self._policies.put(name, _decoded(text), wish)
        return Response(warnings=warnings) if warnings else None

    def _wish(self, data: FieldData) -> PolicyWish:
        expires = ZERO_NS
        if "expiration" in data and "ttl" in data:
            raise InvalidRequestError("cannot supply both 'expiration' and 'ttl' for policies")
        if data["ttl"]:
            expires = self._clock.now_ns() + data["ttl"]
        elif data["expiration"]:
            try:
                expires = parse_moment(data["expiration"])
            except ValueError:
                raise InvalidRequestError(
                    'Field validation failed: error converting input for field "expiration": '
                    "could not parse string as date and time"
                ) from None
        return PolicyWish(
            expires_ns=expires,
            cas=data["cas"],
            cas_required=data["cas_required"],
            takes_slashes=data["allow_slashes_in_identity_templates"],
            takes_wildcards=data["allow_wildcards_in_identity_templates"],
        )

    async def _delete(self, request: Request, data: FieldData) -> None:
        await self._policies.delete(data["name"])


def _upkeep_shown(upkeep: Upkeep) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "allow_slashes_in_identity_templates": upkeep.takes_slashes,
        "allow_wildcards_in_identity_templates": upkeep.takes_wildcards,
        "cas_required": upkeep.cas_required,
        "version": upkeep.version,
    }
    for name, moment in (("expiration", upkeep.expires_ns), ("modified", upkeep.modified_ns)):
        if moment != ZERO_NS:
            shown[name] = Timestamp(format_time(moment))
    return shown


def _decoded(text: str) -> str:
    """Text that is base64 from end to end is what it encodes."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return text
