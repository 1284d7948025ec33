"""Entries that the log holds and the tree does not hold yet.

What lives here: which, by folder, and in which segment of the log their last word is. What never
does: the log, the tree.
Invariants: one thread changes it, others look; an entry leaves only after it is in the tree, so who
looks here first and in the tree then misses none; what was written over is forgotten, so only the
last word on a key reaches the tree. Bounded by what two segments hold.
"""

from collections.abc import Iterable
from typing import Protocol

from zvault.storage.api import Operation, Put

Folders = dict[str, dict[str, Operation]]
"""Folder without its slash → name → the last word on the key."""


class Overlay(Protocol):
    """What is true before the tree is."""

    def find(self, key: str) -> Operation | None:
        """The last word on ``key``; None: the tree has it."""
        ...

    def changes(self, folder: str) -> Iterable[Operation]:
        """The last words on the entries of ``folder``, given without its slash."""
        ...

    def everything(self) -> Iterable[Operation]:
        """The last words on all entries that the tree may not have."""
        ...


def split(key: str) -> tuple[str, str]:
    """Folder, without its slash, and name."""
    folder, _, name = key.rpartition("/")
    return folder, name


class Pending:
    """Puts on their way into the tree: those of the segment in use, and those of the one before."""

    def __init__(self) -> None:
        self._young: Folders = {}
        self._old: Folders = {}
        self._young_count = 0
        self.old_count = 0
        """How many entries are left of the segment before."""

    def __len__(self) -> int:
        return self._young_count + self.old_count

    def find(self, key: str) -> Operation | None:
        folder, name = split(key)
        names = self._young.get(folder)
        found = None if names is None else names.get(name)
        if found is None and self._old:
            names = self._old.get(folder)
            found = None if names is None else names.get(name)
        return found

    def changes(self, folder: str) -> Iterable[Operation]:
        young, old = self._young.get(folder), self._old.get(folder)
        return [*(old.values() if old else ()), *(young.values() if young else ())]

    def everything(self) -> Iterable[Operation]:
        folders = [*self._old.values(), *self._young.values()]
        return [operation for names in folders for operation in list(names.values())]

    def has_any_in(self, folder: str) -> bool:
        """Something waits for this very folder."""
        return folder in self._young or folder in self._old

    def put(self, operation: Put) -> None:
        """The last word on a key is this, and the segment in use has it."""
        folder, name = split(operation.key)
        names = self._young.setdefault(folder, {})
        self._young_count += name not in names
        names[name] = operation
        self.old_count -= _drop(self._old, folder, name)

    def drop(self, key: str) -> None:
        """Nothing of the key is to go into the tree any more; absent is fine."""
        folder, name = split(key)
        self._young_count -= _drop(self._young, folder, name)
        self.old_count -= _drop(self._old, folder, name)

    def turn(self) -> None:
        """Another segment is in use now. Only when nothing is left of the one before."""
        assert not self._old
        self._old, self._young = self._young, self._old
        self.old_count, self._young_count = self._young_count, 0

    def next_old(self) -> Operation | None:
        """One that waits longest, by folder; it stays until it is dropped."""
        if not self._old:
            return None
        return next(reversed(next(reversed(self._old.values())).values()))


def _drop(folders: Folders, folder: str, name: str) -> bool:
    """Whether it was there. The last one goes by popitem, so that looking for the last is quick."""
    names = folders.get(folder)
    if names is None or name not in names:
        return False
    if next(reversed(names)) == name:
        names.popitem()
    else:
        del names[name]
    if not names:
        if next(reversed(folders)) == folder:
            folders.popitem()
        else:
            del folders[folder]
    return True
