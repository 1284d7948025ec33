"""Reads a raft snapshot (``sys/storage/raft/snapshot``) as a store.

What lives here: gzip, tar, checksums, the stream of entries. What never does: writing one.
Everything is checked before the first entry is given out. Source: ``docs/formats/storage.md``.
"""

import gzip
import hashlib
import json
import tarfile
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from google.protobuf.message import DecodeError

from zvault.base.protobuf import build_messages
from zvault.storage.api import Operation
from zvault.storage.errors import ReadOnlyStoreError, SnapshotError, StoreNotFoundError
from zvault.storage.inmem import InMemStorage
from zvault.storage.listing import ObjectInfo

_META, _STATE, _SUMS, _SEALED_SUMS = "meta.json", "state.bin", "SHA256SUMS", "SHA256SUMS.sealed"
_HINT = "take the snapshot again, or name a file made by sys/storage/raft/snapshot"
_VERSION = 1
_BROKEN = (gzip.BadGzipFile, tarfile.TarError, zlib.error, EOFError)
_StorageEntry = build_messages(
    "zvault.raft", {"StorageEntry": ["1 key string", "2 value bytes", "3 seal_wrap bool"]}
)["StorageEntry"]


class RaftSnapshotStorage:
    """A snapshot held in memory; reading only."""

    def __init__(self, url: str, values: dict[str, bytes]) -> None:
        self._values = values
        self._listing = InMemStorage(values, url=url)

    @classmethod
    def open(cls, path: Path) -> "RaftSnapshotStorage":
        """Read and check ``path``. Raises SnapshotError (named cause), StoreNotFoundError."""
        try:
            members = dict(_members(path))
        except FileNotFoundError:
            raise StoreNotFoundError(f"{path} does not exist", hint="name the snapshot") from None
        except _BROKEN as cause:
            raise _damaged(path, f"it is no whole gzipped tar ({type(cause).__name__})") from None
        except OSError as cause:
            raise StoreNotFoundError(
                f"{path} cannot be read: {cause.strerror}", hint="name a readable snapshot file"
            ) from None
        _check_sums(path, members)
        _check_meta(path, members)
        return cls(f"raft-snapshot:{path.absolute()}", _entries(path, members[_STATE]))

    @property
    def url(self) -> str:
        return self._listing.url

    async def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    async def apply(self, operations: Sequence[Operation]) -> None:
        raise ReadOnlyStoreError(self.url)

    async def list(self, prefix: str) -> list[str]:
        return await self._listing.list(prefix)

    def list_objects(
        self, prefix: str = "", *, after: str | None = None
    ) -> AsyncIterator[ObjectInfo]:
        return self._listing.list_objects(prefix, after=after)

    async def close(self) -> None:
        """Nothing to let go of."""


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in the archive, which are read to the end."""
    with gzip.open(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if not member.isreg() or name not in (_META, _STATE, _SUMS, _SEALED_SUMS):
                raise _damaged(path, f"it holds {member.name!r}, which no snapshot has")
            file = archive.extractfile(member)
            yield name, file.read() if file is not None else b""
        while stream.read(1 << 20):
            pass  # to the end, so that gzip's own checksum is checked


def _check_sums(path: Path, members: dict[str, bytes]) -> None:
    for name in (_META, _STATE, _SUMS):
        if name not in members:
            raise _damaged(path, f"{name} is missing")
    sums: dict[str, str] = {}
    for line in members[_SUMS].decode("ascii", "replace").splitlines():
        digest, _, name = line.partition("  ")
        sums[name.strip()] = digest
    for name in (_META, _STATE):
        if sums.get(name) != hashlib.sha256(members[name]).hexdigest():
            raise _damaged(path, f"the checksum of {name} is wrong or missing")


def _check_meta(path: Path, members: dict[str, bytes]) -> None:
    try:
        meta = json.loads(members[_META])
        version, size = meta["Version"], meta["Size"]
    except (ValueError, KeyError, TypeError):
        raise _damaged(path, "meta.json is no snapshot's") from None
    if version != _VERSION:
        raise _damaged(path, f"its version is {version!r}, this program knows {_VERSION}")
    if size != len(members[_STATE]):
        raise _damaged(path, f"meta.json says {size} bytes, state.bin has {len(members[_STATE])}")


def _entries(path: Path, state: bytes) -> dict[str, bytes]:
    values: dict[str, bytes] = {}
    position = 0
    while position < len(state):
        length, start = _varint(path, state, position)
        position = start + length
        if position > len(state):
            raise _damaged(path, f"state.bin ends inside the entry at byte {start}")
        try:
            entry = _StorageEntry.FromString(state[start:position])
        except DecodeError:
            raise _damaged(path, f"state.bin has no entry at byte {start}") from None
        if entry.key in values:
            raise _damaged(path, f"key {entry.key!r} is there twice")
        values[entry.key] = entry.value
    return values


def _varint(path: Path, data: bytes, position: int) -> tuple[int, int]:
    """An unsigned varint and the position after it."""
    result = 0
    for shift in range(0, 64, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
    raise _damaged(path, f"state.bin has no length at byte {position}")


def _damaged(path: Path, cause: str) -> SnapshotError:
    return SnapshotError(f"raft snapshot {path}: {cause}", hint=_HINT)
