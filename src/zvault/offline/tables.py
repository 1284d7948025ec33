"""Mount tables of an open store, whichever way they are kept, and who owns a key.

What lives here: loading both halves of the three tables (one entry a table, or OpenBao's one entry
a mount) and finding the mount of a key or of a path. What never does: a mount's data.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from zvault.barrier.barrier import Barrier
from zvault.barrier.errors import UnreadableEntryError
from zvault.offline.errors import MountTableError, NoSuchMountError
from zvault.offline.report import Finding
from zvault.records.errors import RecordError
from zvault.records.mounts import (
    AUDIT,
    AUTH,
    MOUNTS,
    TABLE_KEYS,
    MountEntry,
    decode_entry,
    decode_table,
)

_ALWAYS_THERE = (
    (MOUNTS, "system"),
    (MOUNTS, "identity"),
    (MOUNTS, "cubbyhole"),
    (AUTH, "token"),
)
"""Mounts that every server has and nobody can remove."""


@dataclass(frozen=True, slots=True)
class Mounts:
    """All entries of the three tables."""

    engines: tuple[MountEntry, ...]
    auth: tuple[MountEntry, ...]
    audit: tuple[MountEntry, ...]

    @property
    def all(self) -> tuple[MountEntry, ...]:
        return self.engines + self.auth + self.audit

    def by_prefix(self) -> dict[str, MountEntry]:
        """Key prefix (``logical/<uuid>/``, …) to entry."""
        return {entry.view_prefix: entry for entry in self.all}

    def losses(self) -> Iterator[Finding]:
        """A table, or a half of one, that is gone: a server would start with a fresh, empty one."""
        for table, kind in _ALWAYS_THERE:
            if not any(entry.type == kind for entry in self._of(table)):
                key = TABLE_KEYS[table][0]
                yield Finding(
                    key, f"no mount of type {kind}: mount table entries are missing", is_loss=True
                )

    def _of(self, table: str) -> tuple[MountEntry, ...]:
        return self.auth if table == AUTH else self.engines

    def engine_of(self, path: str) -> MountEntry:
        """The secret engine whose path begins ``path``, the longest one.

        Raises NoSuchMountError, which names the mounts there are.
        """
        found = [entry for entry in self.engines if path.startswith(entry.path)]
        if not found:
            names = ", ".join(sorted(entry.path for entry in self.engines)) or "none"
            raise NoSuchMountError(
                f"no mount covers {path!r}", hint=f"the store's mounts are: {names}"
            )
        return max(found, key=lambda entry: len(entry.path))


async def load_mounts(barrier: Barrier, prefix: str = "") -> Mounts:
    """The tables below ``prefix`` (a namespace's, or ""). Raises MountTableError, StorageError."""
    tables = {}
    for table, keys in TABLE_KEYS.items():
        entries: list[MountEntry] = []
        for key in keys:
            entries += await _load(barrier, prefix + key)
        tables[table] = tuple(entries)
    return Mounts(tables[MOUNTS], tables[AUTH], tables[AUDIT])


async def _load(barrier: Barrier, key: str) -> list[MountEntry]:
    """One half of a table: its single entry, else one entry for each mount below it."""
    place = key
    try:
        data = await barrier.get(key)
        if data is not None:
            return list(decode_table(data).entries)
        entries = []
        for name in await barrier.list(key + "/"):
            place = f"{key}/{name}"
            record = None if name.endswith("/") else await barrier.get(place)
            if record is not None:
                entries.append(decode_entry(record))
    except UnreadableEntryError as error:
        raise MountTableError(
            f"the mount table {error.key} does not open: {error.reason}", hint=error.hint
        ) from None
    except RecordError as error:
        raise MountTableError(
            f"the mount table {place} decrypts, but {error.message}",
            hint="restore the entry from a backup",
        ) from None
    return entries
