"""Group commit: many callers' operations become durable with two syncs.

What lives here: the order of effects, run on one thread. What never does: the event loop, a read.

Order, and why (must): the content of every new file is durable before any is renamed into place,
so an entry is the old one or the new one, whole; renames and removals run in the callers' order,
so a kill leaves a prefix; the folders touched are durable before anyone is told. Not promised:
the order of two operations of one unacknowledged batch after a power cut. Who needs "this last"
makes two calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from zvault.base.errors import ZvaultError
from zvault.storage.api import Operation, Put
from zvault.storage.errors import BrokenStoreError
from zvault.storage.file_layout import encode_entry
from zvault.storage.file_system import FileSystem
from zvault.storage.file_tree import PROVIDER, Tree, say


@dataclass(slots=True)
class _Work:
    """One caller's operations with the temporary file of each put."""

    operations: Sequence[Operation]
    temporaries: list[str] = field(default_factory=list)
    error: ZvaultError | None = None


class SyncedCommitter:
    """Runs batches, one at a time, on whatever thread it is called."""

    def __init__(self, tree: Tree, files: FileSystem) -> None:
        self._tree = tree
        self._files = files
        self._broken: BrokenStoreError | None = None

    def commit(self, batch: Sequence[Sequence[Operation]]) -> list[ZvaultError | None]:
        """Do every caller's operations; per caller None or what went wrong."""
        if self._broken is not None:
            return [self._broken] * len(batch)
        works = [_Work(operations) for operations in batch]
        self._prepare(works)
        touched: set[str] = set()
        for work in works:
            if work.error is None:
                self._install(work, touched)
        self._settle(works, touched)
        return [work.error for work in works]

    def settle(self) -> bool:
        """Everything acknowledged is durable at once."""
        return True

    age = settle

    def close(self) -> None:
        """As ``settle``."""

    def _prepare(self, works: Sequence[_Work]) -> None:
        """Write all temporary files and make them durable."""
        for work in works:
            for operation in work.operations:
                if isinstance(operation, Put) and work.error is None:
                    self._write_temporary(work, operation)
        ready = [path for work in works if work.error is None for path in work.temporaries]
        try:
            self._files.sync(ready)
        except OSError as cause:
            for work in works:
                self._give_up(work, work.error or self._tree.error(cause, ""))

    def _write_temporary(self, work: _Work, operation: Put) -> None:
        path = self._tree.new_temporary()
        work.temporaries.append(path)
        try:
            self._files.create(path, encode_entry(operation.value))
        except OSError as cause:
            self._give_up(work, self._tree.error(cause, operation.key))

    def _give_up(self, work: _Work, error: ZvaultError) -> None:
        """Nothing of this caller was renamed yet: drop its temporary files."""
        work.error = error
        self._drop(work.temporaries)
        work.temporaries.clear()

    def _drop(self, temporaries: Sequence[str]) -> None:
        for path in temporaries:
            self._tree.drop(path)

    def _install(self, work: _Work, touched: set[str]) -> None:
        """Rename and remove in order; stop at the first failure."""
        position = 0
        for operation in work.operations:
            path = self._tree.path_of(operation.key)
            try:
                if isinstance(operation, Put):
                    self._tree.place(work.temporaries[position], path, touched)
                    position += 1
                else:
                    self._tree.remove(path, touched)
            except OSError as cause:
                work.error = self._tree.error(cause, operation.key)
                self._drop(work.temporaries[position:])
                return

    def _settle(self, works: Sequence[_Work], touched: set[str]) -> None:
        """Make the folders durable; after a failure here nobody knows what is."""
        try:
            self._files.sync(sorted(touched))
        except OSError as cause:
            self._broken = BrokenStoreError(
                f"a folder could not be made durable: {say(cause)}",
                provider=PROVIDER,
                store=self._tree.root,
            )
            for work in works:
                work.error = work.error or self._broken
