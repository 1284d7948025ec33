"""The small helpers: caches, the gate, the counter, the window."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from zvault.storage.cache import FetchCache, ValueCache
from zvault.storage.window import ordered_map


def test_a_cache_stays_within_its_limit_and_forgets_the_least_recently_used() -> None:
    cache = ValueCache(100_000)
    for number in range(1000):
        cache.put(f"k{number}", b"x" * 500)
        cache.get("k0")
    assert cache.get("k0") is not None
    assert cache.get("k1") is None
    assert len(cache) * 700 <= 101_000


def test_a_value_too_large_for_the_cache_drops_the_older_one_of_its_key() -> None:
    cache = ValueCache(10_000)
    cache.put("k", b"small")
    cache.put("k", b"x" * 5000)
    assert cache.get("k") is None


def test_a_fetch_that_a_write_overtook_is_not_remembered() -> None:
    cache = FetchCache(10_000)
    token = cache.begin_fetch("k")
    cache.begin_write("k")
    cache.end_write("k", b"new")
    cache.end_fetch("k", token, b"old")
    assert cache.get("k") == b"new"


def test_a_fetch_during_a_write_is_not_remembered() -> None:
    cache = FetchCache(10_000)
    cache.begin_write("k")
    token = cache.begin_fetch("k")
    cache.end_fetch("k", token, b"old")
    assert cache.get("k") is None
    cache.end_write("k", None)
    assert cache.get("k") is None


def test_of_two_writes_at_once_neither_is_remembered_before_both_ended() -> None:
    cache = FetchCache(10_000)
    cache.begin_write("k")
    cache.begin_write("k")
    cache.end_write("k", b"one")
    assert cache.get("k") is None
    cache.end_write("k", b"two")
    token = cache.begin_fetch("k")
    cache.end_fetch("k", token, b"truth")
    assert cache.get("k") == b"truth"


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def test_a_window_keeps_order_and_bound() -> None:
    running = most = 0

    async def work(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (number % 3))
        running -= 1
        return number

    assert [n async for n in ordered_map(numbers(50), work, 8)] == list(range(50))
    assert 2 <= most <= 8


async def test_an_error_in_a_window_cancels_and_awaits_the_rest() -> None:
    ended: list[int] = []

    async def work(number: int) -> int:
        try:
            await asyncio.sleep(0 if number == 3 else 10)
            if number == 3:
                raise ValueError("three")
        finally:
            ended.append(number)
        return number

    with pytest.raises(ValueError, match="three"):
        await asyncio.wait_for(anext(ordered_map(numbers(50), work, 8)), 5)
    assert sorted(ended) == list(range(8))
