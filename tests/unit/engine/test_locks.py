"""KeyLocks: one at a time, no suspension when free, nothing left behind."""

import asyncio

import pytest

from zvault.engine.locks import KeyLocks


def test_a_free_lock_is_taken_without_suspending() -> None:
    locks = KeyLocks()

    async def work() -> str:
        async with locks.hold("a"), locks.hold("b"):
            return "done"

    with pytest.raises(StopIteration) as finished:
        work().send(None)
    assert finished.value.value == "done"
    assert len(locks) == 0


async def test_holders_of_one_key_follow_each_other() -> None:
    locks, order = KeyLocks(), []

    async def work(name: str) -> None:
        async with locks.hold("k"):
            order.append(f"{name} in")
            await asyncio.sleep(0)
            order.append(f"{name} out")

    await asyncio.gather(work("a"), work("b"), work("c"))
    assert order == ["a in", "a out", "b in", "b out", "c in", "c out"]
    assert len(locks) == 0


async def test_a_cancelled_waiter_leaves_the_lock_usable() -> None:
    locks = KeyLocks()
    async with locks.hold("k"):
        waiter = asyncio.create_task(locks.hold("k").__aenter__())
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
    assert len(locks) == 0
    async with locks.hold("k"):
        assert len(locks) == 1


async def test_an_error_inside_gives_the_lock_back() -> None:
    locks = KeyLocks()
    with pytest.raises(ValueError, match="inside"):
        async with locks.hold("k"):
            raise ValueError("inside")
    assert len(locks) == 0
