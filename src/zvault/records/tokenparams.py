"""The ``token_*`` parameters that roles of every auth method share. Pure."""

from zvault.records.codec import Kind, Member

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
"""``token_type``: 0 default, 1 service, 2 batch, 3 default-service, 4 default-batch."""
