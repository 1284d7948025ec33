"""What only an open for writing has: locks, the way to the disk, the queue.

What lives here: the beginning and the end of writing. What never does: a read, a commit.
Invariants: one writer holds the root; a dead writer's log is replayed before anything is written,
and before readers take this writer for a sign that the tree is whole.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zvault.storage.api import Operation
from zvault.storage.file_commit import SyncedCommitter
from zvault.storage.file_layout import LOG_NAME, SCRATCH_NAME
from zvault.storage.file_lock import lock_directory
from zvault.storage.file_log import SEGMENT_BYTES, Log
from zvault.storage.file_logged import LoggedCommitter
from zvault.storage.file_pending import Pending
from zvault.storage.file_queue import CommitQueue, Committer, Outcome
from zvault.storage.file_recovery import lock_log, recover
from zvault.storage.file_system import FileSystem, PosixFileSystem
from zvault.storage.file_tree import Tree


@dataclass(frozen=True, slots=True)
class LogOptions:
    """``segment_bytes``: of each of the two segments. ``quiet_seconds``: so long without a write,
    and the log is emptied into the tree, so that whatever dies then leaves a whole one.
    """

    segment_bytes: int = SEGMENT_BYTES
    quiet_seconds: float = 5.0


class Writer:
    """An open for writing; ``close`` it."""

    def __init__(
        self,
        root: Path,
        outcome: Outcome,
        *,
        fsync: bool = True,
        log: LogOptions | None = None,
        files: FileSystem | None = None,
    ) -> None:
        """Raises StoreLockedError, UnreplayedLogError, DamagedLogError, OSError."""
        self._root = root
        self.is_logged = log is not None
        self.pending = Pending()
        with contextlib.ExitStack() as undo:
            self._locks = undo.enter_context(contextlib.ExitStack())
            self._locks.callback(os.close, lock_directory(root))
            scratch = root / SCRATCH_NAME
            scratch.mkdir(mode=0o700, exist_ok=True)
            _empty(scratch)
            self.files = files or PosixFileSystem(str(root), durable=fsync)
            self.replayed = recover(root, self.files)
            if self.is_logged:
                self._locks.callback(os.close, lock_log(root))
            undo.pop_all()
        quiet = 0 if log is None else log.quiet_seconds
        at_once = log is not None and not fsync
        self.queue = CommitQueue(self._committer(fsync, log), outcome, quiet, at_once=at_once)

    def _committer(self, fsync: bool, log: LogOptions | None) -> Committer:
        root, files = str(self._root), self.files
        tree = Tree(root, files, self.pending.has_any_in)
        synced = SyncedCommitter(tree, files)
        if fsync and log is None:
            return synced
        written = None if log is None else Log(root, files, segment_bytes=log.segment_bytes)
        return LoggedCommitter(tree, written, self.pending, synced)

    async def submit(self, operations: Sequence[Operation]) -> None:
        """Returns when the operations are durable; raises what went wrong with them."""
        await self.queue.submit(tuple(operations))

    async def close(self, made: Sequence[Path] = ()) -> None:
        """Finish what has begun, leave no folder of ours, nor of ``made`` when they are empty.

        Raises BrokenStoreError when the log had to stay.
        """
        try:
            await self.queue.close()
            with contextlib.suppress(OSError):
                _empty(self._root / SCRATCH_NAME)
                (self._root / SCRATCH_NAME).rmdir()
                with contextlib.suppress(FileNotFoundError):
                    (self._root / LOG_NAME).rmdir()
                for folder in reversed(made):
                    folder.rmdir()
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Close descriptors, as the kernel does for a dead process."""
        self.files.close()
        self._locks.close()


def _empty(scratch: Path) -> None:
    """Remove what a killed writer of ours left."""
    for leftover in scratch.iterdir():
        leftover.unlink()
