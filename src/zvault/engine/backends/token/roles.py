"""``auth/token/roles``: what tokens a role may make.

What lives here: roles read, written, listed, and what a renewal under a role grants.
"""

import re
from dataclasses import replace
from typing import Any

from zvault.barrier.view import View
from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Auth, Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InternalEngineError, InvalidRequestError
from zvault.engine.identity.login import sanitized
from zvault.engine.locks import KeyLocks
from zvault.engine.tokens.service import TOKEN_ROLE
from zvault.engine.tokens.sessions import parse_networks
from zvault.records.token_roles import TokenRole, decode_token_role, encode_token_role

NAME = r"\w(?:[\w.-]*\w)?"
_SUFFIX = re.compile(r"(?=.*\w[\w.-]+\w)(?!.*\.\.)[\w./-]+")
_TYPES = {"service": 1, "batch": 2, "default-service": 3, "default-batch": 4}
_TYPE_NAMES = {
    0: "default-service",
    1: "service",
    2: "batch",
    3: "default-service",
    4: "default-batch",
}
_LISTS = (
    "allowed_policies",
    "disallowed_policies",
    "allowed_policies_glob",
    "disallowed_policies_glob",
)
_FIELDS = {
    "role_name": Field(FieldKind.STRING, ""),
    **{name: Field(FieldKind.COMMA_LIST, []) for name in _LISTS},
    "orphan": Field(FieldKind.BOOL, False),
    "period": Field(FieldKind.DURATION, 0),
    "token_period": Field(FieldKind.DURATION, 0),
    "path_suffix": Field(FieldKind.STRING, ""),
    "explicit_max_ttl": Field(FieldKind.DURATION, 0),
    "token_explicit_max_ttl": Field(FieldKind.DURATION, 0),
    "renewable": Field(FieldKind.BOOL, True),
    "bound_cidrs": Field(FieldKind.COMMA_LIST, []),
    "token_bound_cidrs": Field(FieldKind.COMMA_LIST, []),
    "token_type": Field(FieldKind.STRING, "default-service"),
    "token_no_default_policy": Field(FieldKind.BOOL, False),
    "token_num_uses": Field(FieldKind.INT, 0),
    "allowed_entity_aliases": Field(FieldKind.COMMA_LIST, []),
}


class TokenRoles:
    """Roles below ``sys/token/roles/``."""

    def __init__(self, view: View) -> None:
        self._view = view.sub("roles/")
        self._locks = KeyLocks()

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route("roles/?", {Operation.LIST: self._list}),
            Route(
                f"roles/(?P<role_name>{NAME})",
                {
                    Operation.READ: self._read,
                    Operation.UPDATE: self._write,
                    Operation.DELETE: self._delete,
                },
                _FIELDS,
                self._exists,
            ),
        ]

    async def get(self, name: str) -> TokenRole | None:
        """The role. Raises RecordError, StorageError."""
        content = await self._view.get(name)
        return None if content is None else decode_token_role(content)

    async def renewed(self, auth: Auth) -> Auth:
        """What a renewal grants: limits of the role of the token as it is now."""
        name = auth.internal_data.get(TOKEN_ROLE)
        if not name:
            return auth
        role = await self.get(str(name))
        if role is None:
            raise InternalEngineError(
                f'1 error occurred:\n\t* original token role "{name}" could not be found, '
                "not renewing\n\n"
            )
        auth.period_ns = role.token_period_ns
        auth.explicit_max_ttl_ns = role.token_explicit_max_ttl_ns
        return auth

    async def _exists(self, request: Request, data: FieldData) -> bool:
        return await self.get(data["role_name"]) is not None

    async def _list(self, request: Request, data: FieldData) -> Response:
        return Response(data={"keys": await self._view.list()})

    async def _read(self, request: Request, data: FieldData) -> Response | None:
        role = await self.get(data["role_name"])
        return None if role is None else Response(data=_shown(role))

    async def _delete(self, request: Request, data: FieldData) -> None:
        async with self._locks.hold(data["role_name"]):
            await self._view.delete(data["role_name"])

    async def _write(self, request: Request, data: FieldData) -> None:
        name = data["role_name"]
        async with self._locks.hold(name):
            role = _changed(await self.get(name) or TokenRole(name=name), data)
            _check(role)
            await self._view.put(name, encode_token_role(role))


def _changed(role: TokenRole, data: FieldData) -> TokenRole:
    """The role with every field that was supplied; old field names set both twins."""
    changes: dict[str, Any] = {}
    for name in _LISTS:
        if name in data:
            changes[name] = sanitized(data[name])
    for name in ("orphan", "path_suffix", "renewable", "token_no_default_policy", "token_num_uses"):
        if name in data:
            changes[name] = data[name]
    for name in ("period", "explicit_max_ttl"):
        if f"token_{name}" in data:
            changes[f"token_{name}_ns"] = data[f"token_{name}"]
            changes[f"{name}_ns"] = 0
        elif name in data:
            changes[f"token_{name}_ns"] = changes[f"{name}_ns"] = data[name]
    if "token_bound_cidrs" in data:
        changes["token_bound_cidrs"] = tuple(data["token_bound_cidrs"])
        changes["bound_cidrs"] = ()
    elif "bound_cidrs" in data:
        changes["token_bound_cidrs"] = changes["bound_cidrs"] = tuple(data["bound_cidrs"])
    if "allowed_entity_aliases" in data:
        aliases = (alias.lower() for alias in data["allowed_entity_aliases"])
        changes["allowed_entity_aliases"] = tuple(sorted(set(aliases)))
    if "token_type" in data:
        kind = data["token_type"]
        if kind not in _TYPES:
            raise InvalidRequestError(f"invalid 'token_type' value \"{kind}\"")
        changes["token_type"] = _TYPES[kind]
    elif not role.token_type:
        changes["token_type"] = _TYPES["default-service"]
    return replace(role, **changes)


def _check(role: TokenRole) -> None:
    if role.path_suffix and not _SUFFIX.fullmatch(role.path_suffix):
        raise InvalidRequestError(
            "given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w"
        )
    if role.token_num_uses < 0:
        raise InvalidRequestError("'token_num_uses' cannot be negative")
    try:
        parse_networks(role.token_bound_cidrs)
    except ValueError:
        raise InvalidRequestError("error parsing 'token_bound_cidrs'") from None
    if role.token_type != _TYPES["batch"]:
        return
    for problem, is_set in (
        ("when role is set to generate non-orphan tokens", not role.orphan),
        ("when role is set to generate orphan tokens with a period", role.token_period_ns),
        ("when role is set to generate tokens with a limited use count", role.token_num_uses),
        (
            "when role is set to generate tokens with an explicit max TTL",
            role.token_explicit_max_ttl_ns,
        ),
        ("when role is set to generate renewable tokens", role.renewable),
    ):
        if is_set:
            raise InvalidRequestError(f"'token_type' cannot be 'batch' {problem}")


def _shown(role: TokenRole) -> dict[str, Any]:
    data: dict[str, Any] = {
        "allowed_entity_aliases": list(role.allowed_entity_aliases) or None,
        **{name: list(getattr(role, name)) for name in _LISTS},
        "explicit_max_ttl": role.explicit_max_ttl_ns // SECOND_NS,
        "name": role.name,
        "orphan": role.orphan,
        "path_suffix": role.path_suffix,
        "period": role.period_ns // SECOND_NS,
        "renewable": role.renewable,
        "token_explicit_max_ttl": role.token_explicit_max_ttl_ns // SECOND_NS,
        "token_no_default_policy": role.token_no_default_policy,
        "token_period": role.token_period_ns // SECOND_NS,
        "token_type": _TYPE_NAMES.get(role.token_type, "default-service"),
    }
    if role.bound_cidrs:
        data["bound_cidrs"] = list(role.bound_cidrs)
    if role.token_bound_cidrs:
        data["token_bound_cidrs"] = list(role.token_bound_cidrs)
    if role.token_num_uses:
        data["token_num_uses"] = role.token_num_uses
    return data
