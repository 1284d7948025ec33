"""The ``token_*`` parameters that roles and users of auth methods share.

What lives here: pure functions from request data to a record's fields, their checks, what reading
shows, and the Auth they give. What never does: storage, what else a role says.
Invariant: an old field (``policies``, ``period``, ``ttl``, …) and its new name never disagree.
Source: ``docs/api/userpass.md``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zvault.base.gotime import SECOND_NS
from zvault.engine.backends.cidrs import token_blocks
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData
from zvault.engine.errors import InvalidRequestError
from zvault.records.tokenparams import TokenParams

TOKEN_TYPES = {"default": 0, "service": 1, "batch": 2, "default-service": 3, "default-batch": 4}
TOKEN_TYPE_NAMES = {number: name for name, number in TOKEN_TYPES.items()}
BATCH = TOKEN_TYPES["batch"]
STRICT = "token_strictly_bind_ip"
"""Only OpenBao writes it; kept in ``extra`` and obeyed."""

TOKEN_FIELDS = {
    "token_bound_cidrs": Field(FieldKind.COMMA_LIST, ()),
    "token_explicit_max_ttl": Field(FieldKind.DURATION, 0),
    "token_max_ttl": Field(FieldKind.DURATION, 0),
    "token_no_default_policy": Field(FieldKind.BOOL, False),
    "token_num_uses": Field(FieldKind.INT, 0),
    "token_period": Field(FieldKind.DURATION, 0),
    "token_policies": Field(FieldKind.COMMA_LIST, ()),
    "token_ttl": Field(FieldKind.DURATION, 0),
    "token_type": Field(FieldKind.STRING, "default"),
}


@dataclass(frozen=True, slots=True)
class OldField:
    """A field that had another name before ``token_*`` came, and the attributes of both."""

    name: str
    attribute: str
    new: str
    new_attribute: str
    parse: Callable[[Any], Any] = lambda value: value
    empty: Any = 0


def policy_names(names: list[str]) -> tuple[str, ...]:
    """Policies as the old fields take them: lower case, distinct, sorted."""
    return tuple(sorted({name.lower() for name in names}))


OLD_POLICIES = OldField(
    "policies", "policies", "token_policies", "token_policies", policy_names, ()
)
OLD_TTL = OldField("ttl", "ttl_ns", "token_ttl", "token_ttl_ns")
OLD_MAX_TTL = OldField("max_ttl", "max_ttl_ns", "token_max_ttl", "token_max_ttl_ns")
OLD_PERIOD = OldField("period", "period_ns", "token_period", "token_period_ns")
OLD_NUM_USES = OldField("num_uses", "num_uses", "token_num_uses", "token_num_uses")
OLD_BLOCKS = OldField(
    "bound_cidrs", "bound_cidrs", "token_bound_cidrs", "token_bound_cidrs", token_blocks, ()
)


def token_changes(data: FieldData) -> dict[str, Any]:
    """Attributes that the request sets. Raises InvalidRequestError."""
    changes: dict[str, Any] = {}
    for name in TOKEN_FIELDS:
        if name not in data:
            continue
        value = data[name]
        if name == "token_bound_cidrs":
            value = token_blocks(value)
        elif name == "token_policies":
            value = tuple(value)
        elif name == "token_type":
            value = token_type(value)
        kind = TOKEN_FIELDS[name].kind
        changes[f"{name}_ns" if kind is FieldKind.DURATION else name] = value
    return changes


def old_changes(data: FieldData, *fields: OldField) -> dict[str, Any]:
    """What old names set; a new name that is given too clears the old one.

    Raises InvalidRequestError.
    """
    changes: dict[str, Any] = {}
    for field in fields:
        if field.new in data:
            changes[field.attribute] = field.empty
        elif field.name in data:
            value = field.parse(data[field.name])
            changes |= {field.attribute: value, field.new_attribute: value}
    return changes


def token_type(text: str) -> int:
    """The number of a token type. Raises InvalidRequestError."""
    name = text or "default"
    if name not in ("default", "service", "batch"):
        raise InvalidRequestError(f"invalid 'token_type' value \"{text}\"")
    return TOKEN_TYPES[name]


def check_token_params(params: TokenParams) -> None:
    """Raises InvalidRequestError for parameters that contradict each other."""
    if params.token_num_uses < 0:
        raise InvalidRequestError("'token_num_uses' cannot be negative")
    if params.token_max_ttl_ns and params.token_ttl_ns > params.token_max_ttl_ns:
        raise InvalidRequestError("'token_ttl' cannot be greater than 'token_max_ttl'")
    if params.token_type == BATCH and params.token_num_uses:
        raise InvalidRequestError(
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with "
            "limited use count"
        )
    if params.token_type == BATCH and params.token_period_ns:
        raise InvalidRequestError(
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens"
        )


def token_data(params: TokenParams) -> dict[str, Any]:
    """What reading shows of them; durations in seconds."""
    return {
        "token_bound_cidrs": list(params.token_bound_cidrs),
        "token_explicit_max_ttl": params.token_explicit_max_ttl_ns // SECOND_NS,
        "token_max_ttl": params.token_max_ttl_ns // SECOND_NS,
        "token_no_default_policy": params.token_no_default_policy,
        "token_num_uses": params.token_num_uses,
        "token_period": params.token_period_ns // SECOND_NS,
        "token_policies": list(params.token_policies),
        "token_ttl": params.token_ttl_ns // SECOND_NS,
        "token_type": TOKEN_TYPE_NAMES.get(params.token_type, "default"),
    }


def auth_fields(
    params: TokenParams, address: str, own_blocks: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    """The Auth fields that they decide for a login from ``address``.

    ``own_blocks``: of the credential, instead of the role's. OpenBao's ``token_strictly_bind_ip``
    binds the token to where the login came from.
    """
    blocks = own_blocks or params.token_bound_cidrs
    if params.extra.get(STRICT) is True:
        blocks = (address,)
    return {
        "policies": params.token_policies,
        "ttl_ns": params.token_ttl_ns,
        "max_ttl_ns": params.token_max_ttl_ns,
        "period_ns": params.token_period_ns,
        "explicit_max_ttl_ns": params.token_explicit_max_ttl_ns,
        "num_uses": params.token_num_uses,
        "bound_cidrs": blocks,
        "token_type": TOKEN_TYPE_NAMES.get(params.token_type, "default"),
        "no_default_policy": params.token_no_default_policy,
    }


def renewal_fields(params: TokenParams) -> Mapping[str, Any]:
    """The Auth fields that a renewal takes from the role or user as it is now."""
    return {
        "ttl_ns": params.token_ttl_ns,
        "max_ttl_ns": params.token_max_ttl_ns,
        "period_ns": params.token_period_ns,
    }


def same_policies(one: Any, other: Any) -> bool:
    """The same set; ``default``, case and order do not count."""

    def names(policies: Any) -> set[str]:
        return {name.strip().lower() for name in policies} - {"default", ""}

    return names(one) == names(other)
