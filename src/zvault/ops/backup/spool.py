"""Entries of a store put down in one temporary file: a backup in the making, or one being read.

What lives here: append, find, and the result as a read-only store. What never does: a format, a
decision. The file is unlinked as soon as it is open (0600, ciphertext only) and small ones stay in
memory.
"""

import hashlib
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from zvault.storage.api import Operation
from zvault.storage.digest import EntryDigest
from zvault.storage.errors import ReadOnlyStoreError
from zvault.storage.listing import ObjectInfo

_IN_MEMORY_BYTES = 32 << 20


class Slot(NamedTuple):
    """Where a value lies, and its digest."""

    offset: int
    size: int
    sha256: str


class Spool:
    """Values by key in one file; a value that is put again is appended, the old one forgotten."""

    def __init__(self, directory: Path | None = None) -> None:
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 (closed by close)
            max_size=_IN_MEMORY_BYTES, dir=str(directory) if directory else None
        )
        self._end = 0
        self._slots: dict[str, Slot] = {}

    def put(self, key: str, value: bytes) -> bool:
        """Keep a value; False when it is the one already kept. Raises OSError (disk full)."""
        sha256 = hashlib.sha256(value).hexdigest()
        known = self._slots.get(key)
        if known is not None and known.sha256 == sha256:
            return False
        self._file.seek(self._end)
        self._file.write(value)
        self._slots[key] = Slot(self._end, len(value), sha256)
        self._end += len(value)
        return True

    def drop(self, keys: Iterable[str]) -> None:
        """Forget entries."""
        for key in keys:
            self._slots.pop(key, None)

    def keys(self) -> set[str]:
        """What is kept."""
        return set(self._slots)

    def read(self, key: str) -> bytes | None:
        """The value; None when nothing is kept there."""
        slot = self._slots.get(key)
        if slot is None:
            return None
        self._file.seek(slot.offset)
        return self._file.read(slot.size)

    def digests(self) -> tuple[EntryDigest, ...]:
        """Every entry, in the walk's order (for printable keys text order is byte order)."""
        return tuple(
            EntryDigest(key, slot.size, slot.sha256) for key, slot in sorted(self._slots.items())
        )

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class SpoolStorage:
    """A spool as a Storage for reading: what verify, compare, copy and ``store read`` take."""

    def __init__(self, spool: Spool, url: str) -> None:
        self._spool = spool
        self._url = url
        self._keys = [entry.key for entry in spool.digests()]

    @property
    def url(self) -> str:
        return self._url

    async def get(self, key: str) -> bytes | None:
        return self._spool.read(key)

    async def apply(self, operations: Sequence[Operation]) -> None:
        raise ReadOnlyStoreError(self._url)

    async def list(self, prefix: str) -> list[str]:
        """Immediate children; linear in what lies below the prefix."""
        children = {
            head + slash
            for key in self._below(prefix)
            for head, slash, _ in [key[len(prefix) :].partition("/")]
        }
        return sorted(children)

    async def list_objects(
        self, prefix: str = "", *, after: str | None = None
    ) -> AsyncIterator[ObjectInfo]:
        """Every key below ``prefix``, in order."""
        for key in self._below(prefix):
            if after is None or key > after:
                yield ObjectInfo(key)

    async def close(self) -> None:
        self._spool.close()

    def _below(self, prefix: str) -> Sequence[str]:
        if not prefix:
            return self._keys
        first = bisect_left(self._keys, prefix)
        return self._keys[first : bisect_right(self._keys, prefix + "\U0010ffff")]
