"""A golden archive as a storage, whichever way it is packed: data/, objects/ or a snapshot."""

import base64
from pathlib import Path

from tests.support.golden import Golden, unpack
from zvault.base.secret import Secret
from zvault.storage.api import Storage
from zvault.storage.file import FileStorage
from zvault.storage.inmem import InMemStorage
from zvault.storage.raft_snapshot import RaftSnapshotStorage

FILE_STORES = ("vault-file", "vault-audited", "vault-rotated-rekeyed", "openbao-file")
ALL_STORES = (*FILE_STORES, "vault-s3", "openbao-raft")
DAY_NS = 1_795_305_600_000_000_000
"""2026-11-22T00:00:00Z, the day after the stores were written."""


def storage_of(golden: Golden) -> Storage:
    """The archive's store, for reading (objects and snapshots are held in memory)."""
    if golden.data.exists():
        return FileStorage.open(golden.data, read_only=True)
    if (golden.root / "objects").exists():
        return InMemStorage(_objects(golden.root / "objects"), url=f"inmem:{golden.name}")
    return RaftSnapshotStorage.open(golden.root / "snapshot.tar.gz")


def _objects(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


async def in_memory(name: str, place: Path) -> tuple[Golden, InMemStorage]:
    """A writable copy in memory of any archive."""
    from zvault.storage.digest import read_entries

    golden = unpack(name, place)
    source = storage_of(golden)
    values = {entry.key: entry.value async for entry in read_entries(source)}
    await source.close()
    return golden, InMemStorage(values, url=f"inmem:{name}")


def shares_of(golden: Golden, which: str = "shares") -> list[Secret]:
    """The archive's shares."""
    return [Secret(base64.b64decode(text)) for text in golden.expected[which]]


def threshold_of(golden: Golden) -> int:
    return int(golden.expected["threshold"])
