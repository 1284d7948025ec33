"""The single fields of a role that have paths of their own (``role/NAME/token-ttl``, …).

What lives here: a table from path to what reading shows, which fields writing takes and what
deleting resets. Pure.
Source: ``docs/api/approle.md``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from zvault.base.gotime import SECOND_NS
from zvault.records.approle import RoleEntry

OLD_BLOCKS_WARNING = (
    'The "bound_cidr_list" field is deprecated and will be removed. Please use '
    '"secret_id_bound_cidrs" instead.'
)


@dataclass(frozen=True, slots=True)
class RoleField:
    """One sub-path."""

    shown: Callable[[RoleEntry], dict[str, Any]]
    fields: tuple[str, ...] = ()
    """Request fields that writing takes; none = read only."""
    missing: str = ""
    """Named in the error when none was given; "" = then nothing happens."""
    reset: Callable[[RoleEntry], RoleEntry] | None = None
    warning: str = ""


def _policies(role: RoleEntry) -> dict[str, Any]:
    shown: dict[str, Any] = {"token_policies": list(role.token_policies)}
    if role.policies:
        shown["policies"] = list(role.policies)
    return shown


def _period(role: RoleEntry) -> dict[str, Any]:
    shown = {"token_period": role.token_period_ns // SECOND_NS}
    if role.period_ns:
        shown["period"] = role.period_ns // SECOND_NS
    return shown


SUB_FIELDS: dict[str, RoleField] = {
    "policies": RoleField(
        _policies,
        ("token_policies", "policies"),
        "token_policies",
        lambda role: replace(role, token_policies=(), policies=()),
    ),
    "period": RoleField(
        _period,
        ("token_period", "period"),
        "period",
        lambda role: replace(role, token_period_ns=0, period_ns=0),
    ),
    "bound-cidr-list": RoleField(
        lambda role: {"bound_cidr_list": None},
        ("bound_cidr_list",),
        "",
        lambda role: replace(role, secret_id_bound_cidrs=()),
        OLD_BLOCKS_WARNING,
    ),
    "secret-id-bound-cidrs": RoleField(
        lambda role: {"secret_id_bound_cidrs": list(role.secret_id_bound_cidrs) or None},
        ("secret_id_bound_cidrs",),
        "",
        lambda role: replace(role, secret_id_bound_cidrs=()),
    ),
    "token-bound-cidrs": RoleField(
        lambda role: {"token_bound_cidrs": list(role.token_bound_cidrs) or None},
        ("token_bound_cidrs",),
        "",
        lambda role: replace(role, token_bound_cidrs=()),
    ),
    "bind-secret-id": RoleField(
        lambda role: {"bind_secret_id": role.bind_secret_id},
        ("bind_secret_id",),
        "bind_secret_id",
        lambda role: replace(role, bind_secret_id=True),
    ),
    "secret-id-num-uses": RoleField(
        lambda role: {"secret_id_num_uses": role.secret_id_num_uses},
        ("secret_id_num_uses",),
        "secret_id_num_uses",
        lambda role: replace(role, secret_id_num_uses=0),
    ),
    "secret-id-ttl": RoleField(
        lambda role: {"secret_id_ttl": role.secret_id_ttl_ns // SECOND_NS},
        ("secret_id_ttl",),
        "secret_id_ttl",
        lambda role: replace(role, secret_id_ttl_ns=0),
    ),
    "token-num-uses": RoleField(
        lambda role: {"token_num_uses": role.token_num_uses},
        ("token_num_uses",),
        "token_num_uses",
        lambda role: replace(role, token_num_uses=0),
    ),
    "token-ttl": RoleField(
        lambda role: {"token_ttl": role.token_ttl_ns // SECOND_NS},
        ("token_ttl",),
        "token_ttl",
        lambda role: replace(role, token_ttl_ns=0),
    ),
    "token-max-ttl": RoleField(
        lambda role: {"token_max_ttl": role.token_max_ttl_ns // SECOND_NS},
        ("token_max_ttl",),
        "token_max_ttl",
        lambda role: replace(role, token_max_ttl_ns=0),
    ),
    "local-secret-ids": RoleField(lambda role: {"local_secret_ids": role.is_local}),
}
