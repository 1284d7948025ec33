"""A supplier's state: where it comes from, how old it may be, what is said when nobody knows."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import redis.exceptions

from launcher.outside import Act, Outside, World, cut, garbage, hang, status
from tests.support.service_stand import Backing, Stand, stopped
from zakupai_risk_engine.engine import Engine
from zakupai_risk_engine.rnu import cache as rnu_cache
from zakupai_risk_engine.rnu.cache import Checked

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def validate(stand: Stand, number: str, expected: int = 200) -> dict[str, object]:
    answer = await stand.call("GET", f"/validate_rnu/{number}")
    assert answer.status_code == expected, answer.text
    found: dict[str, object] = answer.json()
    return found


async def forget_in_redis(stand: Stand, number: str) -> None:
    assert await stand.parts.redis.delete(f"risk:rnu:v1:{number}") == 1


async def test_the_registry_is_asked_once_then_redis_then_postgresql(
    risk: Stand, world: World, number: str
) -> None:
    world.rnu[number] = {"status": "Заблокирован"}
    first = await validate(risk, number)
    assert (first["state"], first["blocked"], first["source"]) == ("BLOCKED", True, "registry")
    second = await validate(risk, number)
    assert second == {**first, "source": "redis"}
    await forget_in_redis(risk, number)
    assert await validate(risk, number) == {**first, "source": "postgresql"}
    assert await validate(risk, number) == {**first, "source": "redis"}
    assert len(world.asked) == 1


async def test_a_state_is_never_older_than_a_day_wherever_it_was_kept(
    risk: Stand, world: World, number: str
) -> None:
    risk.parts.clock = lambda: NOW
    world.rnu[number] = {"status": "active"}
    await validate(risk, number)
    await forget_in_redis(risk, number)
    risk.parts.clock = lambda: NOW + timedelta(hours=23, minutes=59)
    assert (await validate(risk, number))["source"] == "postgresql"
    assert 0 < await risk.parts.redis.ttl(f"risk:rnu:v1:{number}") <= 60
    risk.parts.clock = lambda: NOW + timedelta(hours=24)
    world.rnu[number] = {"status": "liquidated"}
    found = await validate(risk, number)
    assert (found["state"], found["source"]) == ("LIQUIDATED", "registry")


async def test_a_supplier_that_is_not_there_is_unknown_and_neither_blocked_nor_not(
    risk: Stand, number: str
) -> None:
    found = await validate(risk, number)
    assert (found["state"], found["blocked"]) == ("UNKNOWN", None)


async def test_goszakups_own_record_means_blacklisted(
    risk: Stand, world: World, number: str
) -> None:
    world.rnu[number] = {"items": [{"pid": 7, "supplier_biin": number, "end_date": None}]}
    assert (await validate(risk, number))["state"] == "BLACKLISTED"


@pytest.mark.parametrize("tries", [[status(500)], [cut, garbage], [status(200, b"{}"[:1])] * 2])
async def test_a_passing_fault_of_the_registry_is_not_seen(
    risk: Stand, world: World, number: str, tries: list[Act]
) -> None:
    world.rnu[number] = {"status": "active"}
    world.acts.extend(tries)
    assert (await validate(risk, number))["state"] == "ACTIVE"


@pytest.mark.parametrize(
    "acts",
    [
        [status(500)] * 3,
        [cut] * 3,
        [status(401)],
        [status(302, Location="http://127.0.0.1:1/")],
        [status(200, b'{"status": 7}')],
        [status(200, b'{"status": "ACTIVE", "bin": "000000000001"}')],
    ],
)
async def test_a_registry_that_says_nothing_is_503_and_nothing_is_made_up(
    risk: Stand, world: World, number: str, acts: list[Act]
) -> None:
    world.rnu[number] = {"status": "active"}
    world.acts.extend(acts)
    answer = await risk.call("GET", f"/validate_rnu/{number}")
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:zakupai:problem:registry-unavailable"
    assert answer.json()["last_known"] is None
    assert int(answer.headers["Retry-After"]) >= 1
    assert not world.acts
    assert (await validate(risk, number))["source"] == "registry"


async def test_what_was_known_last_is_told_with_the_failure_and_not_as_a_state(
    risk: Stand, world: World, number: str
) -> None:
    risk.parts.clock = lambda: NOW
    world.rnu[number] = {"status": "blacklisted"}
    await validate(risk, number)
    risk.parts.clock = lambda: NOW + timedelta(days=2)
    world.acts.append(status(403))
    found = await validate(risk, number, 503)
    assert "state" not in found
    assert found["last_known"] == {"state": "BLACKLISTED", "checked_at": NOW.isoformat()}


async def test_a_limit_of_the_registry_is_429_with_its_wait(
    risk: Stand, world: World, fresh_bin: Callable[[], str]
) -> None:
    world.acts.append(status(429, Retry_After="120"))
    for _ in range(2):
        answer = await risk.call("GET", f"/validate_rnu/{fresh_bin()}")
        assert answer.status_code == 429
        assert 100 < int(answer.headers["Retry-After"]) <= 120
    assert len(world.asked) == 1


async def test_many_who_ask_at_once_cause_one_question(
    risk: Stand, world: World, number: str
) -> None:
    world.rnu[number] = {"status": "suspended"}
    found = await asyncio.gather(*(validate(risk, number) for _ in range(30)))
    assert {one["state"] for one in found} == {"SUSPENDED"}
    assert len(world.asked) == 1


async def test_who_looked_before_the_answer_was_kept_and_goes_on_after_it_asks_nobody(
    risk: Stand, world: World, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.rnu[number] = {"status": "suspended"}
    validator = risk.parts.own(Engine).validator
    look, looked, answered = validator.last_known, [], asyncio.Event()

    async def last_known(asked: str) -> Checked | None:
        found = await look(asked)
        looked.append(found)
        if len(looked) > 1:
            await answered.wait()
        return found

    monkeypatch.setattr(validator, "last_known", last_known)
    both = [asyncio.create_task(validate(risk, number)) for _ in range(2)]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    answered.set()
    assert {one["state"] for one in await asyncio.gather(*both)} == {"SUSPENDED"}
    assert len(world.asked) == 1


@pytest.mark.parametrize("kept", [b"", b"{}", b"nonsense", b'{"state":"GOOD","checked_at":"x"}'])
async def test_nonsense_in_redis_is_nothing(
    risk: Stand, world: World, number: str, kept: bytes
) -> None:
    await risk.parts.redis.set(f"risk:rnu:v1:{number}", kept)
    assert (await validate(risk, number))["source"] == "registry"


async def test_without_redis_postgresql_answers_and_redis_is_left_alone(
    risk: Stand,
    world: World,
    fresh_bin: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number, asked = fresh_bin(), 0
    world.rnu[number] = {"status": "active"}

    async def away(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1
        raise redis.exceptions.TimeoutError

    for name in ("get", "set"):
        monkeypatch.setattr(risk.parts.redis, name, away)
    sources = [(await validate(risk, number))["source"] for _ in range(5)]
    assert sources == ["registry", *["postgresql"] * 4]
    assert asked == rnu_cache._FAILURES


async def test_a_hung_redis_costs_no_answer(
    servers: Backing, risk: Stand, world: World, number: str
) -> None:
    world.rnu[number] = {"status": "active"}
    running = servers.redis.programs.running("redis")
    assert running is not None
    with stopped(running.pid):
        sources = [(await validate(risk, number))["source"] for _ in range(4)]
    assert sources == ["registry", *["postgresql"] * 3]


async def test_without_postgresql_redis_still_answers_and_the_rest_is_503(
    servers: Backing, risk: Stand, world: World, fresh_bin: Callable[[], str]
) -> None:
    known, other = fresh_bin(), fresh_bin()
    world.rnu[known] = {"status": "active"}
    await validate(risk, known)
    await asyncio.to_thread(servers.postgres.stop)
    try:
        assert (await validate(risk, known))["source"] == "redis"
        found = await validate(risk, other, 503)
        assert found["type"] == "urn:zakupai:problem:unavailable"
    finally:
        await asyncio.to_thread(servers.postgres.start)
    assert (await validate(risk, other))["state"] == "UNKNOWN"


async def test_a_bin_is_twelve_ascii_digits(risk: Stand) -> None:
    for wrong in ("1", "1234567890123", "12345678901a", "%D9%A1" * 12, "123456789012%0A"):
        assert (await risk.call("GET", f"/validate_rnu/{wrong}")).status_code == 422


async def test_who_asks_and_leaves_does_not_take_the_answer_from_the_others(
    risk: Stand, abroad: Outside, world: World, number: str
) -> None:
    world.rnu[number] = {"status": "active"}
    world.acts.append(hang)
    leaver = asyncio.create_task(validate(risk, number))
    while not world.asked:  # noqa: ASYNC110 - the server is in another thread
        await asyncio.sleep(0.001)
    stayer = asyncio.create_task(validate(risk, number))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    abroad.go_on.set()
    assert (await stayer)["state"] == "ACTIVE"
