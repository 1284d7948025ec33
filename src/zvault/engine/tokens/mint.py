"""Tokens that are alike: what all tokens of one grant have in common, worked out and encoded once.

What lives here: the entries of a token with its own ids and times left open. What never does:
storage, the order of its writes (``store.py``), what a grant is (``identity/login.py``,
``backends/token``). Invariant: what is stored of a token says the same, byte for byte, whether it
was struck here or encoded by itself.
"""

from dataclasses import replace

from zvault.base.gotime import SECOND_NS, format_time
from zvault.base.ids import RandomBytes
from zvault.engine.api import Auth
from zvault.engine.tokens.leases import new_lease
from zvault.engine.tokens.struck import Names, Struck
from zvault.records.leases import encode_lease
from zvault.records.mounts import MountEntry
from zvault.records.template import Template
from zvault.records.tokens import AccessorEntry, TokenEntry, encode_accessor, encode_token

_ID, _ACCESSOR, _CUBBYHOLE, _SALTED, _SECONDS, _ISSUED, _ENDS = range(7)
_MARKER_BYTES = 16
_TIME_BYTES = 7
_LATE = 1 << 60
"""Beyond every clock in seconds, and as nanoseconds a date of some years ago."""


class Mint:
    """Service tokens with a lease, of one grant. Lives and dies with the unsealed store."""

    __slots__ = ("_accessor", "_lease", "_lease_prefix", "_token", "entry", "mount")

    def __init__(
        self, auth: Auth, entry: TokenEntry, mount: MountEntry | None, random_bytes: RandomBytes
    ) -> None:
        """``auth`` and ``entry`` as for one token of this grant; ids and times do not count."""
        text = [random_bytes(_MARKER_BYTES).hex() for _ in range(_SALTED + 1)]
        seconds, issued, ends = (
            _LATE + int.from_bytes(random_bytes(_TIME_BYTES), "big") for _ in range(3)
        )
        marked = replace(
            entry,
            id=text[_ID],
            accessor=text[_ACCESSOR],
            cubbyhole_id=text[_CUBBYHOLE],
            creation_time=seconds,
        )
        lease = replace(
            new_lease(auth, marked, mount, salted_id=text[_SALTED], now_ns=issued),
            expire_time_ns=ends,
        )
        index = AccessorEntry(marked.id, marked.accessor)
        markers = [
            *(one.encode() for one in text),
            b"%d" % seconds,
            format_time(issued).encode(),
            format_time(ends).encode(),
        ]
        self.entry = entry
        self.mount = mount
        self._lease_prefix = lease.lease_id.removesuffix(text[_SALTED])
        needed = (_ID, _ACCESSOR, _CUBBYHOLE, _SECONDS)
        self._token = Template(encode_token(marked), markers, needed)
        needed_of_lease = (_ID, _ACCESSOR, _SALTED, _ISSUED, _ENDS)
        self._lease = Template(encode_lease(lease), markers, needed_of_lease)
        self._accessor = Template(encode_accessor(index), markers, (_ID, _ACCESSOR))

    @property
    def size(self) -> int:
        """Bytes of its longest entry, about."""
        return self._lease.size

    def strike(self, names: Names, salted_id: str, now_ns: int) -> Struck:
        """The entries of the token with these names, made now."""
        expires_ns = now_ns + self.entry.ttl_ns
        values = (
            names.id.encode(),
            names.accessor.encode(),
            names.cubbyhole_id.encode(),
            salted_id.encode(),
            b"%d" % (now_ns // SECOND_NS),
            format_time(now_ns).encode(),
            format_time(expires_ns).encode(),
        )
        return Struck(
            self._lease_prefix + salted_id,
            expires_ns,
            self._lease.fill(values),
            self._accessor.fill(values),
            self._token.fill(values),
        )

    def entry_of(self, names: Names, now_ns: int) -> TokenEntry:
        """The same token as an entry."""
        return replace(
            self.entry,
            id=names.id,
            accessor=names.accessor,
            cubbyhole_id=names.cubbyhole_id,
            creation_time=now_ns // SECOND_NS,
        )
