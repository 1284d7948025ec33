"""Do token entries, accessors, parents and leases belong together?

What lives here: what has been seen below ``sys/token/`` and ``sys/expire/``, in a compact form
(some 100 bytes a token), and the findings at the end. Pure.
What a killed server leaves half-done is harmless and no loss: an accessor, parent or lease without
its token is garbage, a token without its lease counts as revoked.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from zvault.offline.report import Finding
from zvault.records.leases import ID_PREFIX as LEASE_PREFIX
from zvault.records.tokens import (
    ACCESSOR_PREFIX,
    ID_PREFIX,
    PARENT_PREFIX,
    SALT_KEY,
    AccessorEntry,
    TokenEntry,
    salt_id,
)

Packed = bytes | str
"""A salted id, as ``_pack`` makes it."""


def _pack(salted: str) -> Packed:
    """Half the memory for the usual forms; anything else stays text."""
    try:
        if len(salted) == 65 and salted[0] == "h":
            return bytes.fromhex(salted[1:])
        return bytes.fromhex(salted) if len(salted) == 40 else salted
    except ValueError:
        return salted


def _unpack(packed: Packed) -> str:
    if isinstance(packed, str):
        return packed
    return ("h" if len(packed) == 32 else "") + packed.hex()


@dataclass(frozen=True, slots=True)
class TokenFact:
    """What a token entry says. ``fits``: it lies where its id belongs."""

    fits: bool
    accessor: Packed | None
    lease_path: str | None
    """The path of the lease it must have; None when it needs none."""
    entity_id: str


@dataclass(frozen=True, slots=True)
class AccessorFact:
    """What an accessor entry says."""

    token: Packed


@dataclass(frozen=True, slots=True)
class LeaseFact:
    """What a lease says. ``fits``: it lies where its id belongs."""

    is_auth: bool
    fits: bool


Fact = TokenFact | AccessorFact | LeaseFact


def token_fact(salt: str, salted: str, token: TokenEntry) -> TokenFact:
    """Of an ``id`` entry; ``salted`` is the last part of its key."""
    wants_lease = not (token.is_root and token.ttl_ns == 0) and token.num_uses >= 0
    return TokenFact(
        fits=salt_id(salt, token.id) == salted,
        accessor=_pack(salt_id(salt, token.accessor)) if token.accessor else None,
        lease_path=sys.intern(token.path) if wants_lease else None,
        entity_id=token.entity_id,
    )


def accessor_fact(salt: str, accessor: AccessorEntry) -> AccessorFact:
    """Of an ``accessor`` entry."""
    return AccessorFact(_pack(salt_id(salt, accessor.token_id)))


class TokenLedger:
    """Collects; ``findings`` concludes."""

    def __init__(self, entities: set[str], *, has_salt: bool) -> None:
        self._has_salt = has_salt
        self._entities = entities
        self._tokens: set[Packed] = set()
        self._accessors: dict[Packed, Packed] = {}
        """Salted accessor → salted token."""
        self._wanted_accessors: dict[Packed, Packed] = {}
        self._leases: dict[Packed, str] = {}
        """Salted token → the path of its lease."""
        self._wanted_leases: dict[Packed, str] = {}
        self._children: list[tuple[str, Packed]] = []
        self._misplaced: list[Finding] = []
        self._paths: dict[str, str] = {}

    def saw_token(self, salted: str, token: TokenFact) -> None:
        """An ``id`` entry; ``salted`` is the last part of its key."""
        if not token.fits:
            self._misplaced.append(
                Finding(ID_PREFIX + salted, "the token inside has another id", is_loss=True)
            )
            return
        packed = _pack(salted)
        self._tokens.add(packed)
        if token.accessor is not None:
            self._wanted_accessors[token.accessor] = packed
        if token.lease_path is not None:
            self._wanted_leases[packed] = self._shared(token.lease_path)
        if token.entity_id and token.entity_id not in self._entities:
            self._misplaced.append(
                Finding(
                    ID_PREFIX + salted,
                    "its identity entity is missing, so every request with it is denied",
                    is_loss=True,
                )
            )

    def saw_accessor(self, salted: str, accessor: AccessorFact) -> None:
        """An ``accessor`` entry."""
        self._accessors[_pack(salted)] = accessor.token

    def saw_parent(self, relative: str) -> None:
        """A ``parent`` index entry: ``<parent>/<child>``."""
        _, _, child = relative.rpartition("/")
        self._children.append((relative, _pack(child)))

    def saw_lease(self, lease_id: str, lease: LeaseFact) -> None:
        """An auth lease; ``lease_id`` is its key below the prefix."""
        path, _, salted = lease_id.rpartition("/")
        if not lease.fits:
            self._misplaced.append(
                Finding(LEASE_PREFIX + lease_id, "the lease inside has another id", is_loss=True)
            )
        self._leases[_pack(salted)] = self._shared(path)

    def _shared(self, path: str) -> str:
        return self._paths.setdefault(path, path)

    def findings(self) -> Iterator[Finding]:
        """What does not fit, named."""
        if not self._has_salt and (self._leases or self._accessors or self._misplaced):
            yield Finding(SALT_KEY, "missing, so no token there was can be found", is_loss=True)
        yield from self._misplaced
        for accessor, token in self._wanted_accessors.items():
            if accessor not in self._accessors:
                yield Finding(ID_PREFIX + _unpack(token), "its accessor entry is missing", False)
        for accessor, token in self._accessors.items():
            if token not in self._tokens:
                key = ACCESSOR_PREFIX + _unpack(accessor)
                yield Finding(key, "leftover: the token of this accessor is gone", False)
        for token, path in self._wanted_leases.items():
            if self._leases.get(token) != path:
                key = ID_PREFIX + _unpack(token)
                yield Finding(key, "it has no lease, so a server treats it as revoked", False)
        for token, path in self._leases.items():
            if token not in self._tokens:
                key = f"{LEASE_PREFIX}{path}/{_unpack(token)}"
                yield Finding(key, "leftover: the token of this lease is gone", False)
        for relative, child in self._children:
            if child not in self._tokens:
                yield Finding(PARENT_PREFIX + relative, "leftover: the child token is gone", False)
