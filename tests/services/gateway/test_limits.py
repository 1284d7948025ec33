"""Limits: exact whatever comes at once, alike in Redis and in a process; a hung Redis is cheap."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from tests.support.service_stand import Backing
from zakupai_common.breaker import Breaker
from zakupai_common.redis import RedisSettings, make_redis
from zakupai_common.secret import Secret
from zakupai_gateway.limits.gcra import SECOND, Charge, Decision, Limit, decide
from zakupai_gateway.limits.limiter import Away, Limiter
from zakupai_gateway.limits.local import LocalLimits
from zakupai_gateway.limits.redis_limits import LimitsUnavailableError, RedisLimits

DAY = 86_400.0
"""Long enough that no request comes back while a test runs, however busy the machine is."""
Check = Callable[[list[Charge]], Awaitable[Decision]]


@pytest.fixture
async def redis(servers: Backing) -> AsyncIterator[Redis]:
    client = make_redis(
        RedisSettings("127.0.0.1", servers.redis.port, timeout_seconds=20),
        lambda: Secret(servers.redis_password),
    )
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture(params=["redis", "local"])
def check(request: pytest.FixtureRequest, redis: Redis) -> Check:
    if request.param == "redis":
        return RedisLimits(redis, 20).check
    local = LocalLimits()

    async def in_process(charges: list[Charge]) -> Decision:
        return local.check(charges)

    return in_process


def per_day(requests: int, kind: str = "user", key: str = "user:1") -> Charge:
    return Charge(kind, key, Limit(requests, DAY))


@pytest.mark.row("B8.3")
async def test_of_200_at_once_exactly_100_pass(check: Check) -> None:
    decisions = await asyncio.gather(*(check([per_day(100)]) for _ in range(200)))
    assert sum(one.allowed for one in decisions) == 100
    assert sorted(one.remaining for one in decisions if one.allowed) == list(range(100))
    waits = {one.retry_after // SECOND for one in decisions if not one.allowed}
    assert all(0 < wait <= 864 for wait in waits)


async def test_two_gateways_count_together(redis: Redis) -> None:
    gateways = [RedisLimits(redis, 20), RedisLimits(redis, 20)]
    asked = [gateways[number % 2].check([per_day(50)]) for number in range(120)]
    decisions = await asyncio.gather(*asked)
    assert sum(one.allowed for one in decisions) == 50


async def test_a_refusal_by_one_limit_charges_none(check: Check) -> None:
    ip, user = per_day(1, "ip", "ip:1"), per_day(5, "user", "user:2")
    assert (await check([ip, user])).allowed
    for _ in range(10):
        refused = await check([ip, user])
        assert not refused.allowed
        assert refused.charge.kind == "ip"
    left = await check([user])
    assert left.remaining == 3


async def test_the_limit_that_has_least_left_is_told(check: Check) -> None:
    wide, narrow = per_day(100, "ip", "ip:3"), per_day(10, "route", "route:3")
    told = await check([wide, narrow])
    assert (told.charge.kind, told.remaining) == ("route", 9)
    assert 0 < told.reset <= DAY * SECOND


async def test_redis_forgets_a_limit_when_it_is_full_again(redis: Redis) -> None:
    await RedisLimits(redis, 20).check([per_day(10)])
    [key] = await redis.keys("*")
    assert 0 < await redis.pttl(key) <= DAY / 10 * 1000


async def test_a_restarted_redis_that_lost_the_script_costs_nobody_a_request(redis: Redis) -> None:
    limits = RedisLimits(redis, 20)
    await limits.check([per_day(10)])
    await redis.script_flush()
    decisions = await asyncio.gather(*(limits.check([per_day(10)]) for _ in range(5)))
    assert sorted(one.remaining for one in decisions) == [4, 5, 6, 7, 8]


async def test_connections_that_redis_closed_cost_nobody_a_request(redis: Redis) -> None:
    limits = RedisLimits(redis, 20)
    await limits.check([per_day(10)])
    await redis.client_kill_filter(_type="normal", skipme=False)
    assert (await limits.check([per_day(10)])).remaining == 8
    assert await redis.ping()


async def test_an_answer_that_comes_too_late_is_nobody_elses(
    servers: Backing, redis: Redis
) -> None:
    limits = RedisLimits(redis, 20)
    await limits.check([per_day(10)])
    limits._timeout = 0.3
    with stopped(servers), pytest.raises(LimitsUnavailableError):
        await limits.check([per_day(10)])
    limits._timeout = 20
    other = per_day(3, "route", "route:9")
    told = [await limits.check([other]) for _ in range(2)]
    assert [(one.charge.kind, one.remaining) for one in told] == [("route", 2), ("route", 1)]


LIMITS = st.builds(Limit, st.integers(1, 20), st.floats(0.001, 100))


@given(st.lists(LIMITS, min_size=1, max_size=3), st.lists(st.integers(0, SECOND), max_size=60))
def test_no_window_ever_sees_more_than_a_limit_and_what_came_back(
    limits: list[Limit], waits: list[int]
) -> None:
    charges = [Charge("x", str(number), limit) for number, limit in enumerate(limits)]
    known: list[int | None] = [None] * len(limits)
    now, passed = 0, []
    for wait in waits:
        now += wait
        decision, times = decide(charges, known, now)
        known = list(times) if decision.allowed else known
        if decision.allowed:
            passed.append(now)
        else:
            early, _ = decide(charges, known, now + decision.retry_after - 1)
            in_time, _ = decide(charges, known, now + decision.retry_after)
            assert not early.allowed
            assert in_time.allowed
    for first, begin in enumerate(passed):
        for last in range(first, len(passed)):
            for limit in limits:
                span = passed[last] - begin
                assert last - first + 1 <= limit.requests + span // limit.interval + 1


@given(LIMITS, st.integers(0, 10**15))
def test_a_clock_that_was_set_back_locks_nobody_out_longer_than_the_limit(
    limit: Limit, ahead: int
) -> None:
    refused, _ = decide([Charge("x", "x", limit)], [ahead], 0)
    assert refused.retry_after <= limit.interval


@given(st.lists(st.tuples(LIMITS, st.integers(0, 3)), min_size=1, max_size=40), st.integers(0))
def test_a_process_that_counts_holds_a_bounded_number_of_keys(
    asked: list[tuple[Limit, int]], seed: int
) -> None:
    now = seed
    local = LocalLimits(most_keys=10, clock_ns=lambda: now)
    for number, (limit, wait) in enumerate(asked):
        now += wait * 10**9
        local.check([Charge("ip", f"ip:{number}", limit)])
        assert len(local) <= 10


def test_a_process_that_counts_forgets_what_has_run_out_and_then_what_came_first() -> None:
    now = 10**9
    local = LocalLimits(most_keys=10, clock_ns=lambda: now)
    short, long = Limit(2, 1.0), Limit(2, 1000.0)
    kept = [Charge("ip", f"ip:{number}", long) for number in range(5)]
    for charge in kept:
        local.check([charge])
    for number in range(5):
        local.check([Charge("ip", f"short:{number}", short)])
    now += 2 * 10**9
    local.check([Charge("ip", "ip:5", long)])  # the eleventh key
    assert len(local) == 5
    assert [local.check([charge]).remaining for charge in kept[1:]] == [0, 0, 0, 0]
    assert local.check([kept[0]]).remaining == 1


@contextlib.contextmanager
def stopped(servers: Backing) -> object:
    """Redis hangs: it keeps its connections and says nothing."""
    process = servers.redis.programs.running("redis")
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


async def test_a_hung_redis_costs_one_time_out_and_then_nobody_asks_it(
    servers: Backing, redis: Redis
) -> None:
    seconds, now, seen = 0.3, 0.0, []
    inner = RedisLimits(redis, seconds)
    asked = 0
    original = inner.check

    async def counting(charges: list[Charge]) -> Decision:
        nonlocal asked
        asked += 1
        return await original(charges)

    inner.check = counting  # type: ignore[assignment, method-assign]
    limiter = Limiter(inner, breaker=Breaker(1, 1.0, lambda: now), seen=seen.append)
    charge = [per_day(100)]
    await original(charge)  # the script is known
    with stopped(servers):
        began = time.monotonic()
        first = await asyncio.gather(*(limiter.check(charge, Away.LOCAL) for _ in range(20)))
        waited = time.monotonic() - began
        assert waited >= seconds * 0.9
        assert all(one is not None and one.allowed for one in first)
        assert (asked, seen) == (20, ["local"] * 20)
        assert await limiter.check(charge, Away.OPEN) is None
        with pytest.raises(LimitsUnavailableError):
            await limiter.check(charge, Away.CLOSED)
        for _ in range(100):
            await limiter.check(charge, Away.LOCAL)
        assert asked == 20  # the breaker is open: nobody waited again
        now = 2.0
        await asyncio.gather(*(limiter.check(charge, Away.LOCAL) for _ in range(20)))
        assert asked == 21  # one trial
    now, inner._timeout = 4.0, 20
    seen.clear()
    decision = await limiter.check(charge, Away.CLOSED)
    assert decision is not None
    assert decision.allowed
    assert seen == ["redis"]
    assert not limiter.breaker.is_open


async def test_a_process_counts_as_strictly_as_redis_while_it_is_away(
    servers: Backing,
) -> None:
    nowhere = make_redis(RedisSettings("127.0.0.1", 1, timeout_seconds=5), lambda: Secret("x"))
    limiter = Limiter(RedisLimits(nowhere, 5))
    asked = [limiter.check([per_day(30)], Away.LOCAL) for _ in range(80)]
    decisions = await asyncio.gather(*asked)
    assert sum(one is not None and one.allowed for one in decisions) == 30
    await nowhere.aclose()


async def test_a_request_that_goes_away_takes_nothing_from_the_others(redis: Redis) -> None:
    limits = RedisLimits(redis, 20)
    tasks = [asyncio.create_task(limits.check([per_day(100)])) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    rest = await asyncio.gather(*tasks[1::2])
    assert all(one.allowed for one in rest)
