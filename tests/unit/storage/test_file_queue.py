"""The queue in front of the group commit."""

import asyncio
import gc
import sys
import threading
from collections.abc import Sequence

import pytest

from zvault.base.errors import ZvaultError
from zvault.storage.api import Operation, Put
from zvault.storage.file_queue import CommitQueue


class SlowToSettle:
    """A committer whose tidying has begun and does not end before it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()

    def commit(self, batch: Sequence[Sequence[Operation]]) -> Sequence[ZvaultError | None]:
        return [None] * len(batch)

    def settle(self) -> bool:
        self.begun.set()
        assert self.let_go.wait(10)
        return True

    age = settle

    def close(self) -> None:
        pass


def test_a_queue_that_is_thrown_away_with_its_loop_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So ends a server whose loop is torn down while its store settles."""
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    committer = SlowToSettle()

    async def write_and_wait() -> CommitQueue:
        queue = CommitQueue(committer, lambda _operations, _happened: None, quiet_seconds=0.01)
        await queue.submit([Put("a", b"1")])
        assert await asyncio.to_thread(committer.begun.wait, 10)
        return queue

    loop = asyncio.new_event_loop()
    queue = loop.run_until_complete(write_and_wait())
    loop.close()
    committer.let_go.set()
    queue._thread.shutdown()  # the thread holds the task until its work is over
    del queue
    gc.collect()
    assert complaints == []
