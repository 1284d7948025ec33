"""Answers that wait for their record: none leaves before it, and all leave in order."""

import asyncio
import random

import pytest

from tests.support.fake_core import FakeCore
from tests.support.memory_http import MemoryConnection
from zvault.engine.api import Request, Response
from zvault.engine.audit.batch import AuditFailedError

HEALTH = b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n"


def get(path: str, *headers: bytes) -> bytes:
    lines = [f"GET /v1/{path} HTTP/1.1".encode(), b"Host: x", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


class Ledger:
    """A record that is written when asked for, or cannot be."""

    def __init__(self) -> None:
        self.settled = 0
        self.full = False

    def settle(self) -> None:
        self.settled += 1
        if self.full:
            raise AuditFailedError


class OwingCore(FakeCore):
    """Every request below ``owed/`` leaves a record that its answer waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()

    async def handle(self, request: Request) -> Response | None:
        try:
            return await super().handle(request)
        finally:
            if "owed" in request.path:
                assert request.answer_waits
                request.owed = self.ledger


class World:
    def __init__(self) -> None:
        self.core = OwingCore()
        self.connection = MemoryConnection(self.core)

    @property
    def paths(self) -> list[str]:
        """What was answered, in order: the path, or the status."""
        found = []
        for status, body in self.connection.answers():
            _, mark, rest = body.partition(b'"path":"')
            found.append(rest.split(b'"')[0].decode() if mark else str(status))
        return found


@pytest.fixture
async def world() -> World:
    return World()


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_nothing_leaves_before_its_record_is_written(world: World) -> None:
    world.connection.feed(get("owed/a"))
    assert world.connection.sent == b""
    assert world.core.ledger.settled == 0
    await turn()
    assert world.core.ledger.settled == 1
    assert world.paths == ["owed/a"]


async def test_an_answer_without_a_record_leaves_at_once(world: World) -> None:
    world.connection.feed(get("free/a"))
    assert world.paths == ["free/a"]


async def test_a_record_that_cannot_be_written_holds_the_answer_back(world: World) -> None:
    world.core.ledger.full = True
    world.connection.feed(get("owed/a") + get("free/b"))
    await turn()
    assert world.paths == ["500", "free/b"]
    assert b"owed/a" not in world.connection.sent
    assert b'{"errors":["1 error occurred:\\n\\t* internal error\\n\\n"]}' in world.connection.sent


async def test_a_refusal_waits_for_its_record_too(world: World) -> None:
    async def refuse(request: Request) -> None:
        request.owed = world.core.ledger
        raise AuditFailedError

    world.core.handle = refuse  # type: ignore[method-assign, assignment]
    world.connection.feed(get("owed/a"))
    assert world.connection.sent == b""
    await turn()
    assert world.core.ledger.settled == 1
    assert world.paths == ["500"]


async def test_what_stands_behind_a_held_answer_waits_with_it(world: World) -> None:
    world.connection.feed(get("owed/a") + HEALTH + get("free/b") + get("owed/c") + get("free/d"))
    assert world.connection.sent == b""
    await turn()
    assert world.paths == ["owed/a", "200", "free/b", "owed/c", "free/d"]


async def test_a_request_read_while_an_answer_is_held_comes_after_it(world: World) -> None:
    world.connection.feed(get("owed/a"))
    world.connection.feed(get("free/b"))
    assert world.connection.sent == b""
    await turn()
    assert world.paths == ["owed/a", "free/b"]


async def test_a_bad_request_behind_a_held_answer_is_refused_after_it(world: World) -> None:
    world.connection.feed(get("owed/a") + b"BAD \0 HTTP/1.1\r\n\r\n" + get("free/b"))
    await turn()
    assert world.paths == ["owed/a", "400"]
    assert world.connection.over


async def test_continue_is_not_said_before_the_answer_that_is_due(world: World) -> None:
    head = b"POST /v1/free/b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
    world.connection.feed(get("owed/a") + head + b"Expect: 100-continue\r\n\r\n")
    assert world.connection.sent == b""
    await turn()
    assert world.connection.sent.endswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert world.connection.sent.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_nothing_is_executed_behind_the_last_request(world: World) -> None:
    world.connection.feed(get("owed/a", b"Connection: close") + get("free/b"))
    await turn()
    world.connection.feed(get("free/c"))
    await turn()
    assert world.paths == ["owed/a"]
    assert [request.path for request in world.core.seen] == ["owed/a"]
    assert world.connection.transport.closed


async def test_a_client_that_has_said_all_still_gets_what_is_held(world: World) -> None:
    world.connection.feed(get("owed/a"))
    world.connection.protocol.eof_received()
    assert world.paths == ["owed/a"]
    await turn()
    assert world.paths == ["owed/a"]
    assert world.core.ledger.settled == 1


async def test_the_end_of_serving_waits_for_what_is_held(world: World) -> None:
    world.connection.feed(get("owed/a"))
    assert not world.connection.protocol.is_idle
    await world.connection.connections.finish(1.0)
    assert world.paths == ["owed/a"]


async def test_an_answer_that_comes_too_late_is_recorded_all_the_same(world: World) -> None:
    world.connection.feed(get("wait/owed"))
    world.connection.protocol.expire()
    assert world.paths == ["500"]
    world.core.gate("wait/owed").set()
    await turn()
    await turn()
    assert world.core.ledger.settled == 1
    assert world.paths == ["500"]


async def test_a_client_that_went_away_costs_nobody_else_an_answer() -> None:
    core = OwingCore()
    first, second = MemoryConnection(core), MemoryConnection(core)
    second.protocol._connections = first.connections
    first.feed(get("owed/a"))
    second.feed(get("owed/b"))

    def gone(data: bytes) -> None:
        raise RuntimeError("the transport is broken")

    first.transport.write = gone  # type: ignore[method-assign, assignment]
    await turn()
    assert second.statuses() == [200]
    assert first.transport.closed


@pytest.mark.parametrize("seed", range(30))
async def test_however_requests_mix_and_bytes_are_cut_answers_keep_their_order(seed: int) -> None:
    world, chance = World(), random.Random(seed)
    wanted = [f"{chance.choice(('owed', 'free', 'wait/owed'))}/{n}" for n in range(150)]
    stream = b"".join(map(get, wanted))
    for path in wanted:
        if path.startswith("wait"):
            asyncio.get_running_loop().call_later(chance.random() / 50, world.core.gate(path).set)
    while stream:
        size = chance.randint(1, 400)
        world.connection.feed(stream[:size])
        stream = stream[size:]
        if chance.random() < 0.3:
            await asyncio.sleep(0)
    for _ in range(1000):
        if len(world.paths) == len(wanted):
            break
        await asyncio.sleep(0.001)
    assert world.paths == wanted
    assert [request.path for request in world.core.seen] == wanted
