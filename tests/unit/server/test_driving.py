"""A coroutine that need not wait makes no task; one that must is continued in one."""

import asyncio

import pytest

from zvault.server.driving import Finished, start


async def test_what_ends_at_once_is_finished() -> None:
    async def work() -> int:
        return 5

    outcome = start(work(), asyncio.get_running_loop())
    assert isinstance(outcome, Finished)
    assert outcome.value == 5


async def test_what_fails_at_once_raises_at_once() -> None:
    async def work() -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        start(work(), asyncio.get_running_loop())


async def test_every_way_of_waiting_goes_on_in_the_task() -> None:
    gate, lock = asyncio.Event(), asyncio.Lock()
    await lock.acquire()
    seen: list[str] = []

    async def work() -> str:
        await asyncio.sleep(0)
        seen.append("bare yield")
        await gate.wait()
        seen.append("event")
        async with lock:
            seen.append("lock")
        seen.append(await asyncio.to_thread(lambda: "thread"))
        async with asyncio.timeout(5):
            await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
        seen.append("group")
        return "done"

    outcome = start(work(), asyncio.get_running_loop())
    assert isinstance(outcome, asyncio.Task)
    await asyncio.sleep(0.01)
    gate.set()
    lock.release()
    assert await outcome == "done"
    assert seen == ["bare yield", "event", "lock", "thread", "group"]


async def test_the_failure_of_what_was_waited_for_reaches_the_coroutine() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        try:
            await future
        except OSError as error:
            return f"caught {error}"
        return "not caught"

    outcome = start(work(), asyncio.get_running_loop())
    assert isinstance(outcome, asyncio.Task)
    future.set_exception(OSError("disk"))
    assert await outcome == "caught disk"


async def test_cancelling_reaches_the_coroutine_at_its_first_wait_and_later() -> None:
    for yields in (0, 3):
        cleaned: list[int] = []

        async def work(yields: int = yields, cleaned: list[int] = cleaned) -> None:
            try:
                for _ in range(yields):
                    await asyncio.sleep(0)
                await asyncio.Event().wait()
            finally:
                cleaned.append(1)

        outcome = start(work(), asyncio.get_running_loop())
        assert isinstance(outcome, asyncio.Task)
        for _ in range(yields + 2):
            await asyncio.sleep(0)
        outcome.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outcome
        assert cleaned == [1]


async def test_an_exception_after_waiting_is_the_tasks() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise LookupError("later")

    outcome = start(work(), asyncio.get_running_loop())
    assert isinstance(outcome, asyncio.Task)
    with pytest.raises(LookupError, match="later"):
        await outcome
