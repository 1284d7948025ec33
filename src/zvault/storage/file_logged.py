"""A server's commits: into the log, durably, then into the tree, whenever the kernel likes.

What lives here: the order of effects, run on one thread. What never does: the event loop, a read,
the log's bytes.

Order (must): the batch is durable in the log before the tree is touched, and in the tree before
anyone is told, so that readers of the tree, in this process or another, see what is acknowledged
while the machine runs, and the log has it when the machine has not. An operation that failed does
not come back: the log is settled before its caller is told. Beside a migration's mark, which the
log's own would hide, and for that mark itself, commits go without the log. Without any log
(``fsync`` switched off) a power cut takes what it takes.
"""

import errno
from collections.abc import Sequence

from zvault.base.errors import ZvaultError
from zvault.storage.api import Operation
from zvault.storage.errors import BrokenStoreError
from zvault.storage.file_commit import SyncedCommitter
from zvault.storage.file_log import Log
from zvault.storage.file_tree import PROVIDER, Tree, say
from zvault.storage.keys import MIGRATION_KEY

_NOTHING_WRITTEN = (errno.ENOSPC, errno.EDQUOT)


class LoggedCommitter:
    """Runs batches, one at a time, on whatever thread it is called."""

    def __init__(self, tree: Tree, log: Log | None, synced: SyncedCommitter) -> None:
        self._tree = tree
        self._log = log
        self._synced = synced
        self._broken: BrokenStoreError | None = None

    def commit(self, batch: Sequence[Sequence[Operation]]) -> list[ZvaultError | None]:
        """Do every caller's operations; per caller None or what went wrong."""
        if self._broken is not None:
            return [self._broken] * len(batch)
        try:
            is_logged = self._append(batch)
        except OSError as cause:
            return [self._not_logged(cause)] * len(batch)
        if not is_logged:
            return self._synced.commit(batch)
        errors = [self._install(operations) for operations in batch]
        if any(errors) and not self._settled():
            return [self._broken] * len(batch)
        return errors

    def settle(self) -> None:
        """Leave a tree that is whole without its log; a failure breaks the store."""
        if self._broken is None:
            self._settled()

    def close(self) -> None:
        """As ``settle``, and nothing of the log stays behind. Raises BrokenStoreError."""
        try:
            if self._log is not None and self._broken is None:
                self._log.close()
        except OSError as cause:
            self._break(cause)
        if self._broken is not None:
            raise self._broken

    def _append(self, batch: Sequence[Sequence[Operation]]) -> bool:
        """False when this batch has to go without the log."""
        if self._log is None:
            return True
        operations = [operation for caller in batch for operation in caller]
        if any(operation.key == MIGRATION_KEY for operation in operations):
            self._log.settle()
            return False
        if not self._log.begin():
            return False
        self._log.append(operations)
        return True

    def _not_logged(self, cause: OSError) -> ZvaultError:
        """A full disk is the callers' trouble; after any other error nobody knows what is there."""
        if cause.errno in _NOTHING_WRITTEN and self._settled():
            return self._tree.error(cause, "")
        return self._broken or self._break(cause)

    def _install(self, operations: Sequence[Operation]) -> ZvaultError | None:
        touched: set[str] = set()
        for operation in operations:
            try:
                self._tree.do(operation, touched)
            except OSError as cause:
                return self._tree.error(cause, operation.key)
        return None

    def _settled(self) -> bool:
        try:
            if self._log is not None:
                self._log.settle()
        except OSError as cause:
            self._break(cause)
            return False
        return True

    def _break(self, cause: OSError) -> BrokenStoreError:
        self._broken = BrokenStoreError(
            f"what was written could not be made durable: {say(cause)}",
            provider=PROVIDER,
            store=self._tree.root,
        )
        return self._broken
