"""One number for an entry, one for a store.

What lives here: reading every entry in order and hashing. What never does: comparing stores by
listing (``compare.py``). Keys that a copy leaves behind do not count, so a store and its copy
have one digest.
"""

import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from zvault.storage.api import Storage
from zvault.storage.keys import is_skipped_by_copy
from zvault.storage.walk import walk
from zvault.storage.window import ordered_map

DEFAULT_PARALLEL = 32


@dataclass(frozen=True, slots=True)
class EntryDigest:
    """What a manifest says of one entry. ``size`` in bytes, ``sha256`` in hex."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoreDigest:
    """``count`` entries, ``bytes`` of values, ``hex``: SHA-256 over every key, size and digest."""

    count: int
    bytes: int
    hex: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its value."""

    key: str
    value: bytes

    def digest(self) -> EntryDigest:
        return EntryDigest(self.key, len(self.value), hashlib.sha256(self.value).hexdigest())


class StoreHasher:
    """Builds a StoreDigest from entries given in the walk's order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"zvault store digest 1\n")
        self._count = self._bytes = 0

    def add(self, entry: EntryDigest) -> None:
        key = entry.key.encode("utf-8", "surrogateescape")
        self._hash.update(len(key).to_bytes(4, "big") + key)
        self._hash.update(entry.size.to_bytes(8, "big") + bytes.fromhex(entry.sha256))
        self._count += 1
        self._bytes += entry.size

    def finish(self) -> StoreDigest:
        return StoreDigest(self._count, self._bytes, self._hash.hexdigest())


async def read_entries(
    storage: Storage,
    *,
    prefix: str = "",
    after: str | None = None,
    parallel: int = DEFAULT_PARALLEL,
) -> AsyncIterator[Entry]:
    """Every entry with its value, in the walk's order, several reads at a time.

    Names without an entry behind them (stray files, what was deleted meanwhile) are left out; a
    corrupt entry raises CorruptEntryError.
    """

    async def read(key: str) -> tuple[str, bytes | None]:
        return key, await storage.get(key)

    keys = walk(storage, prefix=prefix, after=after)
    async with contextlib.aclosing(ordered_map(keys, read, parallel)) as pairs:
        async for key, value in pairs:
            if value is not None:
                yield Entry(key, value)


async def store_digest(storage: Storage, *, parallel: int = DEFAULT_PARALLEL) -> StoreDigest:
    """The digest of everything that a copy would take along. Reads every entry."""
    hasher = StoreHasher()
    async for entry in read_entries(storage, parallel=parallel):
        if not is_skipped_by_copy(entry.key):
            hasher.add(entry.digest())
    return hasher.finish()
