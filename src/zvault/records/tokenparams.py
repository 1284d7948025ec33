"""The ``token_*`` parameters that roles of every auth method share. Pure."""

from dataclasses import dataclass, field
from typing import Any

from zvault.records.codec import Kind, Member


@dataclass(frozen=True, slots=True)
class TokenParams:
    """What roles and users say about the tokens that they get. Durations: int nanoseconds."""

    token_bound_cidrs: tuple[str, ...] = ()
    token_explicit_max_ttl_ns: int = 0
    token_max_ttl_ns: int = 0
    token_no_default_policy: bool = False
    token_num_uses: int = 0
    token_period_ns: int = 0
    token_policies: tuple[str, ...] = ()
    token_type: int = 0
    """0 default, 1 service, 2 batch, 3 default-service, 4 default-batch."""
    token_ttl_ns: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


TOKEN_MEMBERS = [
    Member("token_bound_cidrs", Kind.TEXTS),
    Member("token_explicit_max_ttl", Kind.INT, "token_explicit_max_ttl_ns"),
    Member("token_max_ttl", Kind.INT, "token_max_ttl_ns"),
    Member("token_no_default_policy", Kind.BOOL),
    Member("token_num_uses", Kind.INT),
    Member("token_period", Kind.INT, "token_period_ns"),
    Member("token_policies", Kind.TEXTS),
    Member("token_type", Kind.INT),
    Member("token_ttl", Kind.INT, "token_ttl_ns"),
]
