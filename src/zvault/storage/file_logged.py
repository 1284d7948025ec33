"""A server's commits: into the log, durably; into the tree later, for the last word on each key.

What lives here: the order of effects, run on one thread. What never does: the event loop, a read,
the log's bytes.

Order (must): the batch is durable in the log before the tree is touched and before anyone is told;
from then on whoever reads finds it: in ``pending`` (this process), in the log (another one's
``file_follower.py``) or in the tree. Deletes go to the tree at once. Puts wait until the next
segment of the log fills: while it does, the entries of the one before go into the tree, so that
nobody waits long at the turn, and what was written over meanwhile never goes there. What the tree
cannot take (another key's folder has the name, no space for a folder) is refused before it is
logged; an operation that fails all the same does not come back: the log is settled before its
caller is told. Beside a migration's mark, which the log's own would hide, and for that mark itself,
commits go without the log. Without any log a power cut takes what it takes.
"""

from collections.abc import Sequence

from zvault.base.errors import ZvaultError
from zvault.storage.api import Operation, Put
from zvault.storage.errors import BrokenStoreError
from zvault.storage.file_commit import SyncedCommitter
from zvault.storage.file_log import OUT_OF_SPACE, Log
from zvault.storage.file_pending import Pending
from zvault.storage.file_tree import PROVIDER, Tree, say
from zvault.storage.keys import MIGRATION_KEY

_ALL = 1 << 62
_HASTE = 2
"""The entries of the segment before are in the tree when the one in use is full to one half."""
_OVERFULL = 8
"""So many segments' worth a full one takes while the one before is made durable."""
_PATIENCE_SECONDS = 0.02
"""So long somebody who comes while a quiet store is made durable waits."""
_PIECE = 32
"""So many entries are settled before somebody who came meanwhile is served: some 2 ms, on a slow
disk 30."""


class LoggedCommitter:
    """Runs batches, one at a time, on whatever thread it is called."""

    def __init__(
        self, tree: Tree, log: Log | None, pending: Pending, synced: SyncedCommitter
    ) -> None:
        self._tree = tree
        self._log = log
        self._pending = pending
        self._synced = synced
        self._turned_count = 0
        """Entries of the segment before when its turn was over."""
        self._aging = False
        """In the middle of it."""
        self._broken: BrokenStoreError | None = None

    def commit(self, batch: Sequence[Sequence[Operation]]) -> list[ZvaultError | None]:
        """Do every caller's operations; per caller None or what went wrong."""
        if self._broken is not None:
            return [self._broken] * len(batch)
        if self._log is None:
            return [self._install(operations) for operations in batch]
        try:
            if not self._is_for_the_log(self._log, batch):
                return self._synced.commit(batch)
            self._work_off(self._log)
            at_once = any(map(_is_odd, batch))
            if at_once:
                self._write_out_all()  # such a key may want the name of an entry that waits
            errors = [self._refusal(operations) for operations in batch]
            if all(errors):
                return errors
            taken = [operations for operations, e in zip(batch, errors, strict=True) if e is None]
            self._log.append([operation for operations in taken for operation in operations])
        except OSError as cause:
            return [self._not_logged(cause)] * len(batch)
        self._take_over(taken)
        for number, operations in enumerate(batch):
            if errors[number] is None:
                errors[number] = self._finish(operations, at_once=at_once)
                if errors[number] is not None and not self._settled():
                    return [self._broken] * len(batch)
        return errors

    def settle(self) -> bool:
        """A piece of the way to a tree that is whole without its log; True at the end.

        A failure breaks the store; only on a full disk the log stays in use until there is space.
        """
        if self._broken is not None or self._log is None:
            return True
        try:
            self._write_out(_PIECE)
            if self._pending.old_count:
                return False
            if len(self._pending):
                self._next_generation()
                return False
            if self._log.in_use and not self._log.is_tree_durable(_PATIENCE_SECONDS):
                return False
        except OSError as cause:
            if cause.errno not in OUT_OF_SPACE:
                self._break(cause)
        else:
            self._settled()
        return True

    def age(self) -> bool:
        """A piece of what was put off before this was last done; True at the end."""
        if self._broken is not None or self._log is None:
            return True
        try:
            if not self._aging and not self._pending.old_count:
                self._next_generation()
            self._write_out(_PIECE)
        except OSError as cause:
            if cause.errno not in OUT_OF_SPACE:
                self._break(cause)
            self._aging = False
            return True
        self._aging = self._pending.old_count > 0
        return not self._aging

    def close(self) -> None:
        """As ``settle``, and nothing of the log stays behind. Raises BrokenStoreError."""
        if self._broken is None and self._settled() and self._log is not None:
            try:
                self._log.close()
            except OSError as cause:
                self._break(cause)
        if self._broken is not None:
            raise self._broken

    def _is_for_the_log(self, log: Log, batch: Sequence[Sequence[Operation]]) -> bool:
        """False when this batch has to go without the log, which is empty then."""
        if any(operation.key == MIGRATION_KEY for caller in batch for operation in caller):
            self._empty(log)
            return False
        return log.begin()

    def _refusal(self, operations: Sequence[Operation]) -> ZvaultError | None:
        """Said to who asks for what the tree cannot take, before anything of it is written."""
        for operation in operations:
            if isinstance(operation, Put) and self._pending.find(operation.key) is None:
                try:
                    self._tree.make_room(operation.key)
                except OSError as cause:
                    return self._tree.error(cause, operation.key)
        return None

    def _take_over(self, taken: Sequence[Sequence[Operation]]) -> None:
        """The log has them. All puts first, so that no delete takes a folder that they need."""
        for operations in taken:
            for operation in operations:
                if isinstance(operation, Put):
                    self._pending.put(operation)
                else:
                    self._pending.drop(operation.key)

    def _finish(self, operations: Sequence[Operation], *, at_once: bool) -> ZvaultError | None:
        """Deletes, as far as nothing was put there since; puts only when they cannot wait."""
        for operation in operations:
            last = self._pending.find(operation.key)
            try:
                if isinstance(operation, Put):
                    if at_once and last is operation:
                        self._pending.drop(operation.key)
                        self._tree.do(operation, set())
                elif last is None:
                    self._tree.remove(self._tree.path_of(operation.key), set())
            except OSError as cause:
                return self._tree.error(cause, operation.key)
        return None

    def _install(self, operations: Sequence[Operation]) -> ZvaultError | None:
        """Without a log."""
        for operation in operations:
            try:
                self._tree.do(operation, set())
            except OSError as cause:
                return self._tree.error(cause, operation.key)
        return None

    def _work_off(self, log: Log) -> None:
        """Some of the segment before goes into the tree, or all, and it is begun anew.

        Raises OSError.
        """
        if log.filled >= 1:
            self._write_out(_ALL)
            log.checkpoint()
            if log.is_checkpointed or log.filled >= _OVERFULL:
                log.turn()
                self._next_generation()
        done = self._turned_count - self._pending.old_count
        self._write_out(int(self._turned_count * log.filled * _HASTE) - done)
        if not self._pending.old_count:
            log.checkpoint()

    def _write_out(self, count: int) -> None:
        """Up to so many entries of the segment before go into the tree. Raises OSError."""
        for _ in range(min(count, self._pending.old_count)):
            operation = self._pending.next_old()
            assert operation is not None
            self._tree.do(operation, set())
            self._pending.drop(operation.key)

    def _write_out_all(self) -> None:
        """Both segments'. Raises OSError."""
        self._write_out(_ALL)
        self._next_generation()
        self._write_out(_ALL)

    def _next_generation(self) -> None:
        """What waited in the segment in use is what has to go now."""
        self._pending.turn()
        self._turned_count = self._pending.old_count

    def _empty(self, log: Log) -> None:
        """All that waits goes into the tree, durably. Raises OSError."""
        self._write_out_all()
        log.settle()

    def _not_logged(self, cause: OSError) -> ZvaultError:
        """A full disk is the callers' trouble; after any other error nobody knows what is there."""
        if cause.errno in OUT_OF_SPACE:
            return self._tree.error(cause, "")
        return self._break(cause)

    def _settled(self) -> bool:
        try:
            if self._log is not None and self._broken is None:
                self._empty(self._log)
        except OSError as cause:
            self._break(cause)
        return self._broken is None

    def _break(self, cause: OSError) -> BrokenStoreError:
        self._broken = BrokenStoreError(
            f"what was written could not be made durable: {say(cause)}",
            provider=PROVIDER,
            store=self._tree.root,
        )
        return self._broken


def _is_odd(operations: Sequence[Operation]) -> bool:
    """One of the keys has a folder whose name could be an entry's file; such a batch never waits,
    so that the tree says at once which of the two came first."""
    return any("_" in operation.key and _has_odd_folder(operation.key) for operation in operations)


def _has_odd_folder(key: str) -> bool:
    return any(part.startswith("_") for part in key.split("/")[:-1])
