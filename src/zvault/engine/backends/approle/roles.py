"""What an AppRole role says: its fields read, checked and shown.

What lives here: pure functions from request data to ``RoleEntry`` and back to JSON. What never
does: storage, ids.
Invariants: a role always has one constraint (secret id, source addresses of logins or tokens); an
old field (``policies``, ``period``, ``bound_cidr_list``) and its new name never disagree.
Source: ``docs/api/approle.md``.
"""

from dataclasses import replace
from typing import Any

from zvault.base.gotime import SECOND_NS, format_duration
from zvault.engine.backends.cidrs import check_blocks, token_blocks
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData
from zvault.engine.backends.token_params import (
    TOKEN_FIELDS,
    TOKEN_TYPES,
    check_token_params,
    token_data,
)
from zvault.engine.errors import InternalEngineError, InvalidRequestError
from zvault.records.approle import SECRET_ID_LOCAL_PREFIX, SECRET_ID_PREFIX, RoleEntry

ROLE_FIELDS = {
    "role_name": Field(FieldKind.STRING, ""),
    "bind_secret_id": Field(FieldKind.BOOL, True),
    "role_id": Field(FieldKind.STRING, ""),
    "secret_id_bound_cidrs": Field(FieldKind.COMMA_LIST, ()),
    "bound_cidr_list": Field(FieldKind.COMMA_LIST, ()),
    "secret_id_num_uses": Field(FieldKind.INT, 0),
    "secret_id_ttl": Field(FieldKind.DURATION, 0),
    "local_secret_ids": Field(FieldKind.BOOL, False),
    "policies": Field(FieldKind.COMMA_LIST, ()),
    "period": Field(FieldKind.DURATION, 0),
    **TOKEN_FIELDS,
}
_PLAIN = {
    "bind_secret_id": "bind_secret_id",
    "secret_id_num_uses": "secret_id_num_uses",
    "secret_id_ttl": "secret_id_ttl_ns",
    "token_explicit_max_ttl": "token_explicit_max_ttl_ns",
    "token_max_ttl": "token_max_ttl_ns",
    "token_no_default_policy": "token_no_default_policy",
    "token_num_uses": "token_num_uses",
    "token_ttl": "token_ttl_ns",
}
MAX_TTL_WARNING = (
    "token_max_ttl is greater than the backend mount's maximum TTL value; issued tokens' max TTL "
    "value will be truncated"
)


def changed_role(
    role: RoleEntry, data: FieldData, *, is_new: bool, mount_max_ns: int
) -> tuple[RoleEntry, list[str]]:
    """The role with what ``data`` sets, checked, and warnings. Raises EngineError."""
    if "local_secret_ids" in data:
        if not is_new:
            raise InvalidRequestError("local_secret_ids can only be modified during role creation")
        prefix = SECRET_ID_LOCAL_PREFIX if data["local_secret_ids"] else SECRET_ID_PREFIX
        role = replace(role, secret_id_prefix=prefix)
    plain = {attribute: data[name] for name, attribute in _PLAIN.items() if name in data}
    role = replace(role, **plain)
    role = _with_policies(_with_period(_with_blocks(role, data), data), data)
    warnings: list[str] = []
    if "token_type" in data:
        role = replace(role, token_type=_token_type(data["token_type"], warnings))
    check_role(role, mount_max_ns, check_period="token_period" in data or "period" in data)
    if role.token_max_ttl_ns > mount_max_ns:
        warnings.append(MAX_TTL_WARNING)
    return role, warnings


def _with_blocks(role: RoleEntry, data: FieldData) -> RoleEntry:
    if "secret_id_bound_cidrs" in data or "bound_cidr_list" in data:
        blocks = data.first("secret_id_bound_cidrs", "bound_cidr_list")
        check_blocks(blocks)
        role = replace(role, secret_id_bound_cidrs=tuple(blocks))
    if "token_bound_cidrs" in data:
        role = replace(role, token_bound_cidrs=token_blocks(data["token_bound_cidrs"]))
    return role


def _with_policies(role: RoleEntry, data: FieldData) -> RoleEntry:
    if "token_policies" in data:
        return replace(role, token_policies=tuple(data["token_policies"]), policies=())
    if "policies" in data:
        policies = tuple(data["policies"])
        return replace(role, token_policies=policies, policies=policies)
    return role


def _with_period(role: RoleEntry, data: FieldData) -> RoleEntry:
    if "token_period" in data:
        return replace(role, token_period_ns=data["token_period"], period_ns=0)
    if "period" in data:
        return replace(role, token_period_ns=data["period"], period_ns=data["period"])
    return role


def _token_type(text: str, warnings: list[str]) -> int:
    name = text or "default"
    if name not in TOKEN_TYPES:
        raise InvalidRequestError(f"invalid 'token_type' value \"{text}\"")
    if name.startswith("default-"):
        plain = name.removeprefix("default-")
        warnings.append(f"{name} has no useful meaning; adjusting to {plain}")
        name = plain
    return TOKEN_TYPES[name]


def check_role(role: RoleEntry, mount_max_ns: int, *, check_period: bool = False) -> None:
    """Raises EngineError for a role that cannot be saved."""
    if role.secret_id_num_uses < 0:
        raise InvalidRequestError("secret_id_num_uses cannot be negative")
    check_token_params(role)
    if check_period and role.token_period_ns > mount_max_ns:
        raise InvalidRequestError(
            f'period of "{format_duration(role.token_period_ns)}" is greater than the backend\'s '
            f'maximum lease TTL of "{format_duration(mount_max_ns)}"'
        )
    if not (role.bind_secret_id or role.secret_id_bound_cidrs or role.token_bound_cidrs):
        raise InternalEngineError(
            "1 error occurred:\n\t* at least one constraint should be enabled on the role\n\n"
        )


def upgraded(role: RoleEntry) -> RoleEntry:
    """A stored role as it counts today: old fields fill the new ones that are empty."""
    return replace(
        role,
        token_policies=role.token_policies or role.policies,
        token_period_ns=role.token_period_ns or role.period_ns,
        secret_id_prefix=role.secret_id_prefix or SECRET_ID_PREFIX,
    )


def role_data(role: RoleEntry) -> dict[str, Any]:
    """What reading a role shows; its role_id is not part of it."""
    data: dict[str, Any] = {
        "bind_secret_id": role.bind_secret_id,
        "local_secret_ids": role.is_local,
        "secret_id_bound_cidrs": list(role.secret_id_bound_cidrs) or None,
        "secret_id_num_uses": role.secret_id_num_uses,
        "secret_id_ttl": role.secret_id_ttl_ns // SECOND_NS,
        **token_data(role),
    }
    if role.period_ns:
        data["period"] = role.period_ns // SECOND_NS
    if role.policies:
        data["policies"] = list(role.policies)
    return data
