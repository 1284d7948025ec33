"""What a role of ``jwt`` and ``oidc`` says: its fields read, checked and shown.

What lives here: pure functions from request data to ``JwtRole`` and back. What never does: storage.
Invariant: a role that takes tokens has at least one thing they are bound to.
Source: ``docs/api/jwt.md``.
"""

from dataclasses import replace
from typing import Any

from zvault.base.gotime import SECOND_NS
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData
from zvault.engine.backends.token_params import (
    OLD_BLOCKS,
    OLD_MAX_TTL,
    OLD_NUM_USES,
    OLD_PERIOD,
    OLD_POLICIES,
    OLD_TTL,
    TOKEN_FIELDS,
    check_token_params,
    old_changes,
    token_changes,
    token_data,
)
from zvault.engine.errors import InvalidRequestError
from zvault.records.jwt_auth import JwtRole

ROLE_FIELDS = {
    "name": Field(FieldKind.STRING, ""),
    "role_type": Field(FieldKind.STRING, "oidc"),
    "user_claim": Field(FieldKind.STRING, ""),
    "user_claim_json_pointer": Field(FieldKind.BOOL, False),
    "groups_claim": Field(FieldKind.STRING, ""),
    "bound_audiences": Field(FieldKind.COMMA_LIST, ()),
    "bound_subject": Field(FieldKind.STRING, ""),
    "bound_claims": Field(FieldKind.MAP, None),
    "bound_claims_type": Field(FieldKind.STRING, "string"),
    "claim_mappings": Field(FieldKind.KV_PAIRS, None),
    "oidc_scopes": Field(FieldKind.COMMA_LIST, ()),
    "allowed_redirect_uris": Field(FieldKind.COMMA_LIST, ()),
    "expiration_leeway": Field(FieldKind.SIGNED_DURATION, 0),
    "not_before_leeway": Field(FieldKind.SIGNED_DURATION, 0),
    "clock_skew_leeway": Field(FieldKind.SIGNED_DURATION, 0),
    "max_age": Field(FieldKind.DURATION, 0),
    "verbose_oidc_logging": Field(FieldKind.BOOL, False),
    "policies": Field(FieldKind.COMMA_LIST, ()),
    "ttl": Field(FieldKind.DURATION, 0),
    "max_ttl": Field(FieldKind.DURATION, 0),
    "period": Field(FieldKind.DURATION, 0),
    "num_uses": Field(FieldKind.INT, 0),
    "bound_cidrs": Field(FieldKind.COMMA_LIST, ()),
    **TOKEN_FIELDS,
}
_OLD = (OLD_POLICIES, OLD_TTL, OLD_MAX_TTL, OLD_PERIOD, OLD_NUM_USES, OLD_BLOCKS)
_PLAIN = (
    *("user_claim", "user_claim_json_pointer", "groups_claim", "bound_subject"),
    *("bound_claims", "claim_mappings", "verbose_oidc_logging"),
)
_LISTS = ("bound_audiences", "oidc_scopes", "allowed_redirect_uris")
_DURATIONS = ("expiration_leeway", "not_before_leeway", "clock_skew_leeway", "max_age")
_RESERVED = ("role",)
VERBOSE_WARNING = (
    "verbose_oidc_logging has been enabled for this role. This is not recommended in production "
    "since sensitive information may be present in OIDC responses."
)


def changed_role(role: JwtRole, data: FieldData) -> JwtRole:
    """The role with what ``data`` sets, checked. Raises InvalidRequestError."""
    role_type = data["role_type"] or "oidc"
    if role_type not in ("jwt", "oidc"):
        raise InvalidRequestError(f"invalid 'role_type': {role_type}")
    claims_type = data["bound_claims_type"] or "string"
    if claims_type not in ("string", "glob"):
        raise InvalidRequestError(f"invalid 'bound_claims_type': {claims_type}")
    changes: dict[str, Any] = {"role_type": role_type, "bound_claims_type": claims_type}
    changes |= {name: data[name] for name in _PLAIN if name in data}
    changes |= {name: tuple(data[name]) for name in _LISTS if name in data}
    changes |= {f"{name}_ns": data[name] for name in _DURATIONS if name in data}
    role = replace(role, **changes, **token_changes(data))
    check_token_params(role)
    role = replace(role, **old_changes(data, *_OLD))
    if role.token_max_ttl_ns and role.token_ttl_ns > role.token_max_ttl_ns:
        raise InvalidRequestError("ttl should not be greater than max ttl")
    _check_claims(role)
    _check_constraints(role)
    return role


def _check_claims(role: JwtRole) -> None:
    if not role.user_claim:
        raise InvalidRequestError("a user claim must be defined on the role")
    targets = list((role.claim_mappings or {}).values())
    for target in targets:
        if target in _RESERVED:
            raise InvalidRequestError(
                f'metadata key "{target}" is reserved and may not be a mapping destination'
            )
        if targets.count(target) > 1:
            raise InvalidRequestError(f'multiple keys are mapped to metadata key "{target}"')
    if role.bound_claims_type != "glob":
        return
    for expected in (role.bound_claims or {}).values():
        for value in expected if isinstance(expected, list) else [expected]:
            if not isinstance(value, str):
                raise InvalidRequestError("a bound claim of type glob is not a string")


def _check_constraints(role: JwtRole) -> None:
    if role.role_type == "oidc":
        if not role.allowed_redirect_uris:
            raise InvalidRequestError(
                "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified."
            )
        return
    if not (
        role.bound_audiences or role.bound_subject or role.bound_claims or role.token_bound_cidrs
    ):
        raise InvalidRequestError(
            "must have at least one bound constraint when creating/updating a role"
        )


def role_data(role: JwtRole) -> dict[str, Any]:
    """What reading a role shows."""
    data: dict[str, Any] = {name: getattr(role, name) for name in _PLAIN}
    data |= {name: list(getattr(role, name)) or None for name in _LISTS}
    data |= {name: getattr(role, f"{name}_ns") // SECOND_NS for name in _DURATIONS}
    data |= {"role_type": role.role_type, "bound_claims_type": role.bound_claims_type}
    data["claim_mappings"] = role.claim_mappings or None
    data |= token_data(role)
    for old in _OLD:
        value = getattr(role, old.attribute)
        if value:
            is_time = old.attribute.endswith("_ns")
            data[old.name] = value // SECOND_NS if is_time else value
            if isinstance(value, tuple):
                data[old.name] = list(value)
    return data
