"""The stored mount tables of secret engines and auth methods.

What lives here: reading both halves of a table, keeping what this version does not know, and the
writes that bring storage to a new state. What never does: a live mount.
Invariants: a store keeps the form its server gave it (one entry a table, or one entry a mount as
OpenBao writes on transactional storage); entries of other namespaces are carried along untouched.
"""

from dataclasses import dataclass, field
from typing import Any

from zvault.barrier.barrier import Barrier
from zvault.records.mounts import (
    TABLE_KEYS,
    MountEntry,
    MountTable,
    decode_entry,
    decode_table,
    encode_entry,
)
from zvault.storage.api import Delete, Operation, Put


@dataclass(slots=True)
class _Half:
    """One stored half of a table."""

    key: str
    is_local: bool
    exists: bool = False
    per_entry: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


class StoredTable:
    """``core/mounts`` or ``core/auth`` with its local half."""

    def __init__(self, barrier: Barrier, table: str) -> None:
        self._barrier = barrier
        self.table = table
        ordinary, local = TABLE_KEYS[table]
        self._halves = [_Half(ordinary, False), _Half(local, True)]
        self.entries: list[MountEntry] = []

    @property
    def exists(self) -> bool:
        """The store holds this table in some form."""
        return any(half.exists for half in self._halves)

    async def load(self) -> None:
        """Read both halves. Raises RecordError, UnreadableEntryError, StorageError."""
        entries: list[MountEntry] = []
        for half in self._halves:
            content = await self._barrier.get(half.key)
            if content is not None:
                stored = decode_table(content)
                half.exists, half.extra = True, stored.extra
                entries += stored.entries
                continue
            for name in await self._barrier.list(half.key + "/"):
                content = await self._barrier.get(f"{half.key}/{name}")
                if content is not None:
                    half.exists = half.per_entry = True
                    entries.append(decode_entry(content))
        self.entries = entries

    async def save(self, entries: list[MountEntry]) -> None:
        """Bring storage to ``entries`` in one apply, then remember them. Raises StorageError."""
        operations = self.operations(entries)
        if operations:
            await self._barrier.apply(operations)
        self.accept(entries)

    def accept(self, entries: list[MountEntry]) -> None:
        """Remember what is now in storage."""
        for half in self._halves:
            half.exists = True
        self.entries = entries

    def operations(self, entries: list[MountEntry]) -> list[Operation]:
        """The writes from the current entries to ``entries``; both halves are always written."""
        result: list[Operation] = []
        for half in self._halves:
            after = [entry for entry in entries if entry.local is half.is_local]
            if half.per_entry:
                before = [entry for entry in self.entries if entry.local is half.is_local]
                result += _entry_changes(half.key, before, after)
            else:
                stored = MountTable(self.table, tuple(after), half.extra)
                result.append(Put(half.key, stored.encode()))
        return result


def _entry_changes(key: str, before: list[MountEntry], after: list[MountEntry]) -> list[Operation]:
    known = {entry.uuid: entry for entry in before}
    result: list[Operation] = [
        Put(f"{key}/{entry.uuid}", encode_entry(entry))
        for entry in after
        if known.get(entry.uuid) != entry
    ]
    kept = {entry.uuid for entry in after}
    result += [Delete(f"{key}/{uuid}") for uuid in known if uuid not in kept]
    return result
