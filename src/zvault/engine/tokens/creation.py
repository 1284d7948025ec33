"""What a new token may be: one decision.

What lives here: the rules that turn a request to create a token, the token that asks and a role
into the token that comes of it. Pure: no storage, no clock. Source: ``docs/api/tokens.md``.
Invariants: nobody hands on more than they have (a role or sudo says otherwise); a root token comes
only from a root token.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zvault.engine.errors import InvalidRequestError
from zvault.engine.identity.login import sanitized
from zvault.engine.policy import builtin
from zvault.engine.policy.acl import glob_matches
from zvault.records.token_roles import TokenRole
from zvault.records.tokens import BATCH, SERVICE, TokenEntry

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9-]")
_ROLE_SERVICE, _ROLE_BATCH, _ROLE_DEFAULT_BATCH = 1, 2, 4


@dataclass(frozen=True, slots=True)
class TokenWish:
    """The request. Durations in ns, 0 = not given."""

    policies: tuple[str, ...] = ()
    id: str = ""
    meta: tuple[tuple[str, str], ...] = ()
    no_parent: bool = False
    no_default_policy: bool = False
    renewable: bool = True
    ttl_ns: int = 0
    explicit_max_ttl_ns: int = 0
    period_ns: int = 0
    type: str = ""
    display_name: str = ""
    num_uses: int = 0
    entity_alias: str = ""
    orphan_path: bool = False
    """Asked through ``create-orphan``."""


@dataclass(frozen=True, slots=True)
class TokenPlan:
    """The token that will be, short of ids and TTL."""

    type: int
    policies: tuple[str, ...]
    parent: str
    display_name: str
    meta: dict[str, str]
    num_uses: int
    ttl_ns: int
    explicit_max_ttl_ns: int
    period_ns: int
    stored_period_ns: int
    """Only what was asked for is remembered in the token; a role's period follows the role."""
    renewable: bool
    bound_cidrs: tuple[str, ...]
    entity_id: str
    role: str
    path_suffix: str


def plan_token(
    wish: TokenWish, parent: TokenEntry, role: TokenRole | None, *, is_sudo: bool
) -> TokenPlan:
    """The plan. Raises InvalidRequestError."""
    _check_parent(parent)
    _check_wish(wish, role, is_sudo=is_sudo)
    kind = _kind(wish, role)
    if kind == BATCH:
        _check_batch(wish)
    is_orphan = wish.orphan_path or (role.orphan if role is not None else wish.no_parent)
    explicit, period, uses = wish.explicit_max_ttl_ns, wish.period_ns, wish.num_uses
    if role is not None and kind != BATCH:
        explicit = _smaller_set(explicit, role.token_explicit_max_ttl_ns)
        period = _smaller_set(period, role.token_period_ns)
        uses = _smaller_set(uses, role.token_num_uses)
    policies = _policies(wish, parent, role, is_sudo=is_sudo)
    _check_policies(policies, parent, kind)
    return TokenPlan(
        type=kind,
        policies=policies,
        parent="" if is_orphan else parent.id,
        display_name=_display_name(wish.display_name),
        meta=dict(wish.meta),
        num_uses=uses,
        ttl_ns=wish.ttl_ns,
        explicit_max_ttl_ns=explicit,
        period_ns=period,
        stored_period_ns=wish.period_ns,
        renewable=wish.renewable and kind != BATCH and (role is None or role.renewable),
        bound_cidrs=_cidrs(parent, role, is_orphan=is_orphan),
        entity_id="" if is_orphan else parent.entity_id,
        role="" if role is None else role.name,
        path_suffix="" if role is None else role.path_suffix,
    )


def _check_parent(parent: TokenEntry) -> None:
    if parent.type == BATCH:
        raise InvalidRequestError("batch tokens cannot create more tokens")
    if parent.num_uses:
        raise InvalidRequestError("restricted use token cannot generate child tokens")


def _check_wish(wish: TokenWish, role: TokenRole | None, *, is_sudo: bool) -> None:
    if wish.num_uses < 0:
        raise InvalidRequestError("number of uses cannot be negative")
    if wish.id:
        if not is_sudo:
            raise InvalidRequestError("root or sudo privileges required to specify token id")
        for prefix in ("hvs.", "s."):
            if wish.id.startswith(prefix):
                raise InvalidRequestError(f"custom token ID cannot have the '{prefix}' prefix")
        if "." in wish.id:
            raise InvalidRequestError("custom token ID cannot have a '.' in the value")
    if wish.no_parent and role is None and not wish.orphan_path and not is_sudo:
        raise InvalidRequestError("root or sudo privileges required to create orphan token")
    if wish.period_ns and not is_sudo:
        raise InvalidRequestError("root or sudo privileges required to create periodic token")
    if wish.entity_alias and role is None:
        raise InvalidRequestError("'entity_alias' is only allowed in combination with token role")


def _kind(wish: TokenWish, role: TokenRole | None) -> int:
    if wish.type not in ("", "service", "batch"):
        raise InvalidRequestError("invalid 'token_type' value")
    forced = 0 if role is None else role.token_type
    if forced == _ROLE_SERVICE:
        return SERVICE
    if forced == _ROLE_BATCH:
        return BATCH
    if wish.type:
        return BATCH if wish.type == "batch" else SERVICE
    return BATCH if forced == _ROLE_DEFAULT_BATCH else SERVICE


def _check_batch(wish: TokenWish) -> None:
    for name, value in (
        ("explicit_max_ttl", wish.explicit_max_ttl_ns),
        ("num_uses", wish.num_uses),
        ("period", wish.period_ns),
    ):
        if value:
            raise InvalidRequestError(f'batch tokens cannot have "{name}" set')


def _policies(
    wish: TokenWish, parent: TokenEntry, role: TokenRole | None, *, is_sudo: bool
) -> tuple[str, ...]:
    no_default = wish.no_default_policy or (role is not None and role.token_no_default_policy)
    if role is not None and _has_lists(role):
        chosen = _from_role(wish, parent, role, no_default=no_default)
    elif not wish.policies:
        chosen = sanitized(parent.policies)
    elif is_sudo:
        chosen = sanitized(wish.policies, add_default=not no_default)
    else:
        if not set(sanitized(wish.policies)) <= set(sanitized(parent.policies)):
            raise InvalidRequestError("child policies must be subset of parent")
        has_default = builtin.DEFAULT in parent.policies
        chosen = sanitized(wish.policies, add_default=has_default and not wish.no_default_policy)
    return tuple(name for name in chosen if not (no_default and name == builtin.DEFAULT))


def _has_lists(role: TokenRole) -> bool:
    return bool(
        role.allowed_policies
        or role.disallowed_policies
        or role.allowed_policies_glob
        or role.disallowed_policies_glob
    )


def _from_role(
    wish: TokenWish, parent: TokenEntry, role: TokenRole, *, no_default: bool
) -> tuple[str, ...]:
    """A role with lists may give what the asking token has not, and nothing else."""
    add_default = not no_default and not _listed(
        builtin.DEFAULT, role.disallowed_policies, role.disallowed_policies_glob
    )
    asked = sanitized(wish.policies, add_default=add_default) if wish.policies else ()
    if role.allowed_policies or role.allowed_policies_glob:
        allowed = sanitized(role.allowed_policies, add_default=add_default)
        globs = sanitized(role.allowed_policies_glob)
        if not asked:
            asked = allowed
        elif not all(_listed(name, allowed, globs) for name in asked):
            raise InvalidRequestError(
                f"token policies ({_quoted(asked)}) must be subset of the role's allowed policies "
                f"({_quoted(allowed)}) or glob policies ({_quoted(globs)})"
            )
    elif not asked:
        asked = sanitized(parent.policies, add_default=add_default)
    for name in asked:
        if _listed(name, role.disallowed_policies, role.disallowed_policies_glob):
            raise InvalidRequestError(f'token policy "{name}" is disallowed by this role')
    return asked


def _check_policies(policies: Sequence[str], parent: TokenEntry, kind: int) -> None:
    for name in policies:
        if name in builtin.INTERNAL:
            raise InvalidRequestError(f'cannot assign policy "{name}"')
    if builtin.ROOT in policies:
        if builtin.ROOT not in parent.policies:
            raise InvalidRequestError(
                "root tokens may not be created without parent token being root"
            )
        if kind == BATCH:
            raise InvalidRequestError("batch tokens cannot be root tokens")


def _listed(name: str, names: Iterable[str], globs: Iterable[str]) -> bool:
    return name in names or any(glob_matches(glob, name) for glob in globs)


def _quoted(names: Sequence[str]) -> str:
    return "[" + " ".join(f'"{name}"' for name in names) + "]"


def _cidrs(parent: TokenEntry, role: TokenRole | None, *, is_orphan: bool) -> tuple[str, ...]:
    if role is not None:
        return role.token_bound_cidrs
    return () if is_orphan else parent.bound_cidrs


def _smaller_set(first: int, second: int) -> int:
    return min(first, second) if first and second else first or second


def _display_name(wanted: str) -> str:
    if not wanted:
        return "token"
    return _NOT_IN_NAMES.sub("-", f"token-{wanted}").rstrip("-")
