"""The client of goszakup against a server that misbehaves: what is tried again, what is counted."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from launcher.outside import Act, Outside, World, cut, garbage, hang, outside, status
from zakupai_common.goszakup import (
    CircuitOpenError,
    Goszakup,
    GoszakupError,
    GoszakupMetrics,
    NotFoundError,
    Patience,
    RateLimitedError,
    Reason,
    goszakup_client,
)
from zakupai_common.secret import Secret

NUMBER = "123456789012"
PATH = f"/v3/rnu/{NUMBER}"
QUICK = Patience(
    try_seconds=5.0, first_wait_seconds=0.001, longest_wait_seconds=0.002, deadline_seconds=60.0
)


@pytest.fixture
def server() -> Iterator[Outside]:
    world = World("right-token", "bot")
    world.rnu[NUMBER] = {"status": "ACTIVE"}
    with outside(world) as made:
        yield made


class Stand:
    """A client, its metric and a clock that tests move."""

    def __init__(self, client: Goszakup, registry: CollectorRegistry, clock: list[float]) -> None:
        self.client, self.registry, self.clock = client, registry, clock

    def errors(self) -> dict[str, float]:
        return {
            reason.value: value
            for reason in Reason
            if (
                value := self.registry.get_sample_value(
                    "goszakup_errors_total", {"endpoint": "rnu", "reason": reason.value}
                )
            )
        }


@asynccontextmanager
async def standing(
    url: str, token: str = "right-token", patience: Patience = QUICK
) -> AsyncIterator[Stand]:
    registry, clock = CollectorRegistry(), [1000.0]
    metrics = GoszakupMetrics(registry, ["rnu"])
    async with goszakup_client(
        url, lambda: Secret(token), metrics, patience, clock=lambda: clock[0]
    ) as client:
        yield Stand(client, registry, clock)


async def test_an_answer_is_its_json_and_nothing_is_counted(server: Outside) -> None:
    async with standing(server.url) as stand:
        assert await stand.client.get("rnu", PATH) == {"status": "ACTIVE"}
        assert stand.errors() == {}


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (status(500), Reason.SERVER_ERROR),
        (status(503, Retry_After="1"), Reason.SERVER_ERROR),
        (cut, Reason.CONNECTION),
        (garbage, Reason.GARBAGE),
        (status(200, b"<html>"), Reason.GARBAGE),
        (status(200, b"[" * 100_000), Reason.GARBAGE),
        (status(200, b'"' + b"1" * 70_000 + b'"'), Reason.GARBAGE),
    ],
)
async def test_a_passing_fault_is_tried_again_and_counted(
    server: Outside, act: Act, reason: Reason
) -> None:
    server.world.acts.extend([act, act])
    async with standing(server.url, patience=replace(QUICK, answer_bytes=60_000)) as stand:
        assert await stand.client.get("rnu", PATH) == {"status": "ACTIVE"}
        assert stand.errors() == {reason.value: 2}
    assert len(server.world.asked) == 3


async def test_three_tries_are_all(server: Outside) -> None:
    server.world.acts.extend([status(500)] * 4)
    async with standing(server.url) as stand:
        with pytest.raises(GoszakupError) as caught:
            await stand.client.get("rnu", PATH)
        assert caught.value.reason is Reason.SERVER_ERROR
        assert stand.errors() == {"server_error": 3}
    assert len(server.world.asked) == 3


async def test_a_silent_server_costs_a_time_out_a_try(server: Outside) -> None:
    server.world.acts.extend([hang] * 3)
    async with standing(server.url, patience=replace(QUICK, try_seconds=0.05)) as stand:
        with pytest.raises(GoszakupError) as caught:
            await stand.client.get("rnu", PATH)
        assert caught.value.reason is Reason.TIMEOUT
        assert stand.errors() == {"timeout": 3}


async def test_nobody_listening_is_a_connection_error() -> None:
    with outside(World("t", "b")) as server:
        url = server.url
    async with standing(url) as stand:
        with pytest.raises(GoszakupError):
            await stand.client.get("rnu", PATH)
        assert stand.errors() == {"connection": 3}


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (status(401), Reason.UNAUTHORIZED),
        (status(403), Reason.UNAUTHORIZED),
        (status(400), Reason.REFUSED),
        (status(302, Location="http://127.0.0.1:9/steal"), Reason.REFUSED),
    ],
)
async def test_a_refusal_is_not_tried_again_and_no_redirect_followed(
    server: Outside, act: Act, reason: Reason
) -> None:
    server.world.acts.append(act)
    async with standing(server.url) as stand:
        with pytest.raises(GoszakupError) as caught:
            await stand.client.get("rnu", PATH)
        assert caught.value.reason is reason
        assert stand.errors() == {reason.value: 1}
    assert len(server.world.asked) == 1


async def test_what_is_not_there_is_an_answer_and_no_error(server: Outside) -> None:
    async with standing(server.url) as stand:
        with pytest.raises(NotFoundError):
            await stand.client.get("rnu", "/v3/rnu/000000000000")
        assert stand.errors() == {}
    assert len(server.world.asked) == 1


async def test_while_asked_to_wait_nothing_is_sent(server: Outside) -> None:
    server.world.acts.append(status(429, Retry_After="7"))
    async with standing(server.url) as stand:
        for passed, left in ((0.0, 7.0), (0.0, 7.0), (6.0, 1.0)):
            stand.clock[0] += passed
            with pytest.raises(RateLimitedError) as caught:
                await stand.client.get("rnu", PATH)
            assert caught.value.wait_seconds == left
        assert len(server.world.asked) == 1
        assert stand.errors() == {"rate_limited": 1}
        stand.clock[0] += 1.0
        assert await stand.client.get("rnu", PATH) == {"status": "ACTIVE"}


@pytest.mark.parametrize(
    ("said", "seconds"), [("", 5.0), ("soon", 5.0), ("999999", 300.0), ("-3", 5.0)]
)
async def test_an_odd_retry_after_means_a_bounded_wait(
    server: Outside, said: str, seconds: float
) -> None:
    server.world.acts.append(status(429, Retry_After=said))
    async with standing(server.url) as stand:
        with pytest.raises(RateLimitedError) as caught:
            await stand.client.get("rnu", PATH)
        assert caught.value.wait_seconds == seconds


async def test_after_failures_in_a_row_it_is_left_alone_and_then_tried_once(
    server: Outside,
) -> None:
    server.world.acts.extend([status(500)] * 15)
    async with standing(server.url) as stand:
        for _ in range(5):
            with pytest.raises(GoszakupError):
                await stand.client.get("rnu", PATH)
        assert stand.registry.get_sample_value("goszakup_circuit_open") == 1.0
        asked = len(server.world.asked)
        with pytest.raises(CircuitOpenError) as caught:
            await stand.client.get("rnu", PATH)
        assert caught.value.wait_seconds == 30.0
        assert len(server.world.asked) == asked == 15
        stand.clock[0] += 30.0
        assert await stand.client.get("rnu", PATH) == {"status": "ACTIVE"}
        assert stand.registry.get_sample_value("goszakup_circuit_open") == 0.0


async def test_refusals_and_absences_do_not_open_the_circuit(server: Outside) -> None:
    async with standing(server.url, token="wrong") as stand:
        for _ in range(6):
            with pytest.raises(GoszakupError) as caught:
                await stand.client.get("rnu", PATH)
            assert caught.value.reason is Reason.UNAUTHORIZED
    assert len(server.world.asked) == 6


async def test_an_asker_who_goes_away_counts_as_nothing(server: Outside) -> None:
    server.world.acts.append(hang)
    async with standing(server.url, patience=replace(QUICK, failures_to_open=1)) as stand:
        waiting = asyncio.create_task(stand.client.get("rnu", PATH))
        while not server.world.asked:  # noqa: ASYNC110 - the server is in another thread
            await asyncio.sleep(0.001)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await stand.client.get("rnu", PATH) == {"status": "ACTIVE"}


async def test_waits_between_tries_grow_and_end_with_the_deadline(
    server: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    server.world.acts.extend([status(500)] * 10)
    patience = Patience(tries=8, deadline_seconds=10.0)
    async with standing(server.url, patience=patience) as stand:

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            stand.clock[0] += seconds

        monkeypatch.setattr("zakupai_common.goszakup.asyncio.sleep", sleep)
        with pytest.raises(GoszakupError):
            await stand.client.get("rnu", PATH)
    assert sum(waits) < 10.0
    for count, wait in enumerate(waits):
        whole = min(2.0, 0.25 * 2**count)
        assert 0.1 * whole <= wait <= whole


async def test_a_foreign_endpoint_name_is_no_label(server: Outside) -> None:
    async with standing(server.url) as stand:
        server.world.acts.append(status(500))
        with pytest.raises(LookupError):
            await stand.client.get("made-up", PATH)


async def test_the_token_reaches_goszakup_and_no_text_of_an_error(server: Outside) -> None:
    errors: list[Any] = []
    async with standing(server.url, token="right-token") as stand:
        await stand.client.get("rnu", PATH)
        server.world.acts.extend([status(500), cut, garbage])
        with pytest.raises(GoszakupError) as caught:
            await stand.client.get("rnu", PATH)
        errors += [caught.value, caught.value.__cause__, caught.value.__context__]
    assert server.world.asked[0].headers["Authorization"] == "Bearer right-token"
    assert "right-token" not in repr(errors)
