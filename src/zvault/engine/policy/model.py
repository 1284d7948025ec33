"""What a policy says, as values.

What lives here: capabilities, the rule of one path, a parsed policy. What never does: text, a
decision. Source: ``docs/formats/policies.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any


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
