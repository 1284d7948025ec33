"""The queue in front of the group commit: callers wait on the loop, one thread writes.

What lives here: which callers share a batch, who is told what. What never does: the order of
effects inside a batch (``file_commit.py``). Invariant: every caller gets an answer, also when the
committer breaks.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from zvault.storage.api import Operation, Put
from zvault.storage.file_commit import Committer

_BATCH_OPERATIONS = 512
_BATCH_BYTES = 16 << 20

Outcome = Callable[[Sequence[Operation], bool], None]
"""Told on the loop, before the caller is: these operations happened, or may have happened."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    operations: Sequence[Operation]
    done: "asyncio.Future[None]"


class CommitQueue:
    """Batches what waits while the previous batch is being written."""

    def __init__(self, committer: Committer, outcome: Outcome) -> None:
        self._committer = committer
        self._outcome = outcome
        self._thread = ThreadPoolExecutor(1, "zvault-commit")
        self._waiting: list[_Waiting] = []
        self._running: asyncio.Task[None] | None = None

    async def submit(self, operations: Sequence[Operation]) -> None:
        """Returns when the operations are durable; raises what went wrong with them."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(operations, done))
        if self._running is None:
            self._running = asyncio.create_task(self._drain())
        await done

    async def close(self) -> None:
        """Finish what has begun."""
        while self._running is not None:
            await asyncio.wait([self._running])
        self._thread.shutdown()

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._commit(self._take())
        finally:
            self._running = None

    async def _commit(self, batch: list[_Waiting]) -> None:
        work = [waiting.operations for waiting in batch]
        loop = asyncio.get_running_loop()
        errors: Sequence[Exception | None]
        try:
            errors = await loop.run_in_executor(self._thread, self._committer.commit, work)
        except Exception as defect:  # a bug must reach the callers, not hang them
            errors = [defect] * len(batch)
        for waiting, error in zip(batch, errors, strict=True):
            self._outcome(waiting.operations, error is None)
            if waiting.done.done():
                continue  # the caller was cancelled; what it asked for has happened all the same
            if error is None:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(error)

    def _take(self) -> list[_Waiting]:
        """The next callers whose operations make one batch."""
        count = size = taken = 0
        for waiting in self._waiting:
            count += len(waiting.operations)
            size += sum(len(op.value) for op in waiting.operations if isinstance(op, Put))
            if taken and (count > _BATCH_OPERATIONS or size > _BATCH_BYTES):
                break
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch
