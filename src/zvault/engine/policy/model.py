"""What a policy says, as values.

What lives here: capabilities, the rule of one path, a parsed policy. What never does: text, a
decision. Source: ``docs/formats/policies.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import Any

from zvault.base.gotime import NEVER_NS


class Capability(IntFlag):
    """Rights on a path. DENY clears all others."""

    NONE = 0
    CREATE = 1
    READ = 2
    UPDATE = 4
    DELETE = 8
    LIST = 16
    SUDO = 32
    PATCH = 64
    SUBSCRIBE = 128
    DENY = 256
    SCAN = 512


CAPABILITY_NAMES: Mapping[str, Capability] = {
    "create": Capability.CREATE,
    "read": Capability.READ,
    "update": Capability.UPDATE,
    "delete": Capability.DELETE,
    "list": Capability.LIST,
    "sudo": Capability.SUDO,
    "patch": Capability.PATCH,
    "subscribe": Capability.SUBSCRIBE,
    "deny": Capability.DENY,
}

ParameterLists = Mapping[str, Sequence[Any]]
"""Lower-case parameter name to the values meant; an empty list means any value."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be done on the paths that match ``path``.

    ``path`` is the text as written (``*`` at the end, ``+`` for a segment), without a leading
    slash.
    """

    path: str
    capabilities: int
    allowed: ParameterLists = field(default_factory=dict)
    denied: ParameterLists = field(default_factory=dict)
    required: tuple[str, ...] = ()
    min_wrapping_ttl_ns: int = 0
    max_wrapping_ttl_ns: int = 0
    expires_ns: int = NEVER_NS
    is_never_listed: bool = False
    """Its lists would have to be cut or filtered, which this engine does not do."""

    @property
    def denies(self) -> bool:
        """The rule takes everything away."""
        return bool(self.capabilities & Capability.DENY)

    @property
    def is_conditional(self) -> bool:
        """Parameters or wrapping decide too."""
        return bool(
            self.allowed
            or self.denied
            or self.required
            or self.min_wrapping_ttl_ns
            or self.max_wrapping_ttl_ns
        )

    @property
    def is_prefix(self) -> bool:
        """``*`` ends the path."""
        return self.path.endswith("*")

    @property
    def has_segment_wildcards(self) -> bool:
        """A whole segment is ``+``."""
        return "+" in self.path and "+" in self.path.removesuffix("*").split("/")


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy. ``templated``: a path holds ``{{identity...}}``."""

    name: str
    rules: tuple[Rule, ...]
    templated: bool = False
    expires_ns: int = NEVER_NS
    takes_slashes: bool = True
    """What a template puts in may hold ``/``."""
    takes_wildcards: bool = False
    """It may hold ``*`` and ``+``, which then are wildcards."""


def living(policies: Sequence[Policy], now_ns: int) -> tuple[list[Policy], int]:
    """What of the policies has not expired, and when more of it will."""
    found, until = [], NEVER_NS
    for policy in policies:
        if policy.expires_ns <= now_ns:
            continue
        rules = tuple(rule for rule in policy.rules if rule.expires_ns > now_ns)
        until = min([until, policy.expires_ns, *(rule.expires_ns for rule in rules)])
        found.append(policy if len(rules) == len(policy.rules) else replace(policy, rules=rules))
    return found, until


def merge(first: Rule, second: Rule) -> Rule:
    """Two rules of the same path text as one: rights add up, any deny wins and clears the rest."""
    if first.denies or second.denies:
        return Rule(first.path, Capability.DENY)
    return Rule(
        path=first.path,
        capabilities=first.capabilities | second.capabilities,
        allowed=_union(first.allowed, second.allowed),
        denied=_union(first.denied, second.denied),
        required=tuple(sorted({*first.required, *second.required})),
        min_wrapping_ttl_ns=_smaller_set(first.min_wrapping_ttl_ns, second.min_wrapping_ttl_ns),
        max_wrapping_ttl_ns=_smaller_set(first.max_wrapping_ttl_ns, second.max_wrapping_ttl_ns),
        is_never_listed=first.is_never_listed or second.is_never_listed,
    )


def _smaller_set(first: int, second: int) -> int:
    return min(first, second) if first and second else first or second


def _union(first: ParameterLists, second: ParameterLists) -> ParameterLists:
    result = dict(first)
    for name, values in second.items():
        known = result.get(name)
        if known is None:
            result[name] = values
        else:
            result[name] = [*known, *values] if known and values else ()
    return result
