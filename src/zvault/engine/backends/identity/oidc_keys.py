"""``identity/oidc/key`` and ``identity/oidc/role``: who signs identity tokens, and what is in them.

What lives here: fields, their rules, answers. What never does: storage (``oidc_store``), tokens.
Source: ``docs/api/identity.md``.
"""

from dataclasses import replace
from typing import Any

from zvault.base.clock import Clock
from zvault.base.gotime import SECOND_NS
from zvault.base.ids import RandomBytes, base62
from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.backends.identity import oidc_template
from zvault.engine.backends.identity.oidc_store import ALGORITHMS, DEFAULT_KEY, OidcStore
from zvault.engine.errors import InvalidRequestError
from zvault.records.oidc import DAY_NS, NamedKey, OidcRole

_NAME = r"(?P<name>(?a:\w(?:[\w.-]*\w)?))"
_KEY_FIELDS = {
    "name": Field(FieldKind.STRING, ""),
    "rotation_period": Field(FieldKind.DURATION, DAY_NS),
    "verification_ttl": Field(FieldKind.DURATION, DAY_NS),
    "algorithm": Field(FieldKind.STRING, "RS256"),
    "allowed_client_ids": Field(FieldKind.COMMA_LIST, ()),
}
_ROLE_FIELDS = {
    "name": Field(FieldKind.STRING, ""),
    "key": Field(FieldKind.STRING, ""),
    "template": Field(FieldKind.STRING, ""),
    "ttl": Field(FieldKind.DURATION, DAY_NS),
    "client_id": Field(FieldKind.STRING, ""),
}
_MINUTE_NS = 60 * SECOND_NS
CLIENT_ID_LENGTH = 26


class OidcKeys:
    """Named keys."""

    def __init__(self, store: OidcStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def routes(self) -> list[Route]:
        """The path table."""
        one = {
            Operation.READ: self._read,
            Operation.UPDATE: self._write,
            Operation.DELETE: self._delete,
        }
        return [
            Route("oidc/key/?", {Operation.LIST: self._list}),
            Route(f"oidc/key/{_NAME}", one, _KEY_FIELDS, self._exists),
            Route(f"oidc/key/{_NAME}/rotate", {Operation.UPDATE: self._rotate}, _KEY_FIELDS),
        ]

    async def _exists(self, request: Request, data: FieldData) -> bool:
        return await self._store.named_key(data["name"]) is not None

    async def _list(self, request: Request, data: FieldData) -> Response:
        return Response(data={"keys": await self._store.key_names()})

    async def _read(self, request: Request, data: FieldData) -> Response | None:
        key = await self._store.named_key(data["name"])
        if key is None:
            return None
        shown = {
            "algorithm": key.algorithm,
            "allowed_client_ids": list(key.allowed_client_ids),
            "rotation_period": key.rotation_period_ns // SECOND_NS,
            "verification_ttl": key.verification_ttl_ns // SECOND_NS,
        }
        return Response(data=shown)

    async def _write(self, request: Request, data: FieldData) -> None:
        name = data["name"]
        async with self._store.changing:
            before = await self._store.named_key(name)
            key = _changed_key(before or NamedKey(), data)
            if before is not None and key.verification_ttl_ns < before.verification_ttl_ns:
                await self._check_roles(name, key)
            if before is None or before.algorithm != key.algorithm or key.signing_key is None:
                await self._store.with_new_keys(name, key)
            else:
                await self._store.save_key(name, self._sooner(key))

    def _sooner(self, key: NamedKey) -> NamedKey:
        """A shorter period counts from now, a longer one after the next rotation."""
        planned = self._clock.now_ns() + key.rotation_period_ns
        return replace(key, next_rotation_ns=min(planned, key.next_rotation_ns))

    async def _check_roles(self, name: str, key: NamedKey) -> None:
        roles = await self._store.roles_of_key(name)
        if any(role.token_ttl_ns > key.verification_ttl_ns for role in roles.values()):
            raise InvalidRequestError(
                f'unable to update key "{name}" because it is currently referenced by one or more '
                f"roles with a token ttl greater than {key.verification_ttl_ns // SECOND_NS} "
                "seconds"
            )

    async def _delete(self, request: Request, data: FieldData) -> None:
        name = data["name"]
        if name == DEFAULT_KEY:
            raise InvalidRequestError(f'deletion of key "{name}" not allowed')
        async with self._store.changing:
            roles = sorted(await self._store.roles_of_key(name))
            if roles:
                raise InvalidRequestError(
                    f'unable to delete key "{name}" because it is currently referenced by these '
                    f"roles: {', '.join(roles)}"
                )
            key = await self._store.named_key(name)
            if key is not None:
                await self._store.delete_key(name, key)

    async def _rotate(self, request: Request, data: FieldData) -> None:
        name = data["name"]
        async with self._store.changing:
            key = await self._store.named_key(name)
            if key is None:
                raise InvalidRequestError(f'no named key found at "{name}"')
            ttl = data.get("verification_ttl", key.verification_ttl_ns)
            await self._store.rotate(name, key, ttl)


def _changed_key(key: NamedKey, data: FieldData) -> NamedKey:
    """The key with what ``data`` sets, checked. Raises InvalidRequestError."""
    key = replace(
        key,
        rotation_period_ns=data.get("rotation_period", key.rotation_period_ns),
        verification_ttl_ns=data.get("verification_ttl", key.verification_ttl_ns),
        algorithm=data.get("algorithm", key.algorithm),
        allowed_client_ids=tuple(data.get("allowed_client_ids", key.allowed_client_ids)),
    )
    if key.rotation_period_ns < _MINUTE_NS:
        raise InvalidRequestError("rotation_period must be at least one minute")
    if key.verification_ttl_ns > 10 * key.rotation_period_ns:
        raise InvalidRequestError("verification_ttl cannot be longer than 10x rotation_period")
    if key.algorithm not in ALGORITHMS:
        raise InvalidRequestError(f'unknown signing algorithm "{key.algorithm}"')
    return key


class OidcRoles:
    """Roles."""

    def __init__(self, store: OidcStore, clock: Clock, random_bytes: RandomBytes) -> None:
        self._store = store
        self._clock = clock
        self._random_bytes = random_bytes

    def routes(self) -> list[Route]:
        """The path table."""
        one = {
            Operation.READ: self._read,
            Operation.UPDATE: self._write,
            Operation.DELETE: self._delete,
        }
        return [
            Route("oidc/role/?", {Operation.LIST: self._list}),
            Route(f"oidc/role/{_NAME}", one, _ROLE_FIELDS, self._exists),
        ]

    async def _exists(self, request: Request, data: FieldData) -> bool:
        return await self._store.role(data["name"]) is not None

    async def _list(self, request: Request, data: FieldData) -> Response:
        return Response(data={"keys": await self._store.role_names()})

    async def _read(self, request: Request, data: FieldData) -> Response | None:
        role = await self._store.role(data["name"])
        if role is None:
            return None
        shown: dict[str, Any] = {
            "client_id": role.client_id,
            "key": role.key,
            "template": role.template,
            "ttl": role.token_ttl_ns // SECOND_NS,
        }
        return Response(data=shown)

    async def _write(self, request: Request, data: FieldData) -> None:
        async with self._store.changing:
            before = await self._store.role(data["name"]) or OidcRole()
            role = replace(
                before,
                key=data.get("key", before.key),
                token_ttl_ns=data.get("ttl", before.token_ttl_ns),
                client_id=data["client_id"] or before.client_id,
            )
            if "template" in data:
                role = replace(role, template=oidc_template.plain_text(data["template"]))
            if not role.key:
                raise InvalidRequestError("the key parameter is required")
            oidc_template.check(role.template, self._clock.now_ns())
            key = await self._store.named_key(role.key)
            if key is None:
                raise InvalidRequestError(f'cannot find key "{role.key}"')
            if role.token_ttl_ns > key.verification_ttl_ns:
                raise InvalidRequestError(
                    "a role's token ttl cannot be longer than the verification_ttl of the key it "
                    "references"
                )
            if not role.client_id:
                made = base62(self._random_bytes, CLIENT_ID_LENGTH)
                role = replace(role, client_id=made)
            await self._store.save_role(data["name"], role)

    async def _delete(self, request: Request, data: FieldData) -> None:
        async with self._store.changing:
            await self._store.delete_role(data["name"])
