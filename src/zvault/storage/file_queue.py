"""The queue in front of the group commit: callers wait on the loop, one thread writes.

What lives here: which callers share a batch, who is told what, when there was quiet for long
enough to settle. What never does: the order of effects inside a batch (``file_commit.py``,
``file_logged.py``). Invariant: every caller gets an answer, also when the committer breaks.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from zvault.base.errors import ZvaultError
from zvault.storage.api import Operation, Put

_BATCH_OPERATIONS = 512
_BATCH_BYTES = 16 << 20

_log = logging.getLogger(__name__)

Outcome = Callable[[Sequence[Operation], bool], None]
"""Told on the loop, before the caller is: these operations happened, or may have happened."""


class Committer(Protocol):
    """What the thread runs."""

    def commit(self, batch: Sequence[Sequence[Operation]]) -> Sequence[ZvaultError | None]:
        """Do every caller's operations; per caller None or what went wrong."""
        ...

    def settle(self) -> bool:
        """Nothing was written for a while. A short piece of work; True when nothing is left."""
        ...

    def age(self) -> bool:
        """Some time has passed: what was put off then has waited long enough. As ``settle``."""
        ...

    def close(self) -> None:
        """Nothing more will be written. Raises BrokenStoreError when something may be lost."""
        ...


Tidy = Callable[[], bool]
"""A short piece of work; True when nothing is left of it."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    operations: Sequence[Operation]
    done: "asyncio.Future[None]"


class CommitQueue:
    """Batches what waits while the previous batch is being written."""

    def __init__(
        self,
        committer: Committer,
        outcome: Outcome,
        quiet_seconds: float = 0,
        *,
        at_once: bool = False,
    ) -> None:
        """``at_once``: commits wait for no disk, so they need no thread."""
        self._committer = committer
        self._at_once = at_once
        self._outcome = outcome
        self._quiet_seconds = quiet_seconds
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
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
        """Finish what has begun. Raises what the committer's ``close`` raises."""
        if self._timer is not None:
            self._timer.cancel()
        while self._running is not None:
            await asyncio.wait([self._running])
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._committer.close)
        finally:
            self._thread.shutdown()

    async def _drain(self, tidy: Tidy | None = None) -> None:
        """Commit what waits; ``tidy``, a piece at a time, as long as nobody waits."""
        loop = asyncio.get_running_loop()
        settle = self._committer.settle
        is_settled = False
        try:
            while self._waiting or tidy is not None:
                if self._waiting:
                    await self._commit(self._take())
                    self._last = loop.time()
                    tidy = None if tidy == settle else tidy  # it is quiet no longer
                elif tidy is not None and await self._is_done(tidy):
                    is_settled = tidy == settle
                    tidy = None
        finally:
            self._running = None
        # Not in the finally: a task that is thrown away with its loop has no loop to ask.
        if self._quiet_seconds and self._timer is None and not is_settled:
            self._timer = loop.call_later(self._quiet_seconds, self._look_for_quiet)

    async def _is_done(self, tidy: Tidy) -> bool:
        """A failure of the disk shows at the next commit; a defect must not hang who waits."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, tidy)
        except Exception:
            _log.exception("the log could not be settled")
            return True

    def _look_for_quiet(self) -> None:
        """Without a pause in the writing the log is not settled, and yet nothing waits for long."""
        loop = asyncio.get_running_loop()
        left = self._last + self._quiet_seconds - loop.time()
        self._timer = None
        if self._running is None:
            tidy = self._committer.settle if left <= 0 else self._committer.age
            self._running = asyncio.create_task(self._drain(tidy))
        else:
            self._timer = loop.call_later(max(left, 0.1), self._look_for_quiet)

    async def _commit(self, batch: list[_Waiting]) -> None:
        work = [waiting.operations for waiting in batch]
        loop = asyncio.get_running_loop()
        errors: Sequence[Exception | None]
        try:
            if self._at_once:
                errors = self._committer.commit(work)
            else:
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
