"""A new token before it is stored: its names, and what its entries hold. What never does: IO."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Names:
    """What makes a token itself."""

    id: str = field(repr=False)
    accessor: str
    cubbyhole_id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Struck:
    """The values of a new token's entries."""

    lease_id: str
    expires_ns: int
    lease: bytes = field(repr=False)
    accessor: bytes = field(repr=False)
    token: bytes = field(repr=False)
