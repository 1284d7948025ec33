"""A connection's state machine, without a socket."""

import asyncio
import logging

import pytest

from tests.support.fake_core import FakeCore
from tests.support.memory_http import MemoryConnection
from zvault.engine.api import Operation
from zvault.server.protocol import MAX_HELD_BYTES, REQUESTS_A_TURN, Limits
from zvault.server.wire import MAX_HEAD_BYTES

GET = b"GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\n"


def post(path: str, body: bytes, *headers: bytes) -> bytes:
    lines = [f"POST /v1/{path} HTTP/1.1".encode(), b"Host: x", *headers]
    lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_list_is_served_and_a_body_that_holds_it_is_left_alone() -> None:
    connection = MemoryConnection()
    connection.feed(b"LIST /v1/kv HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.feed(post("kv/a", b'{"a":"x\\r\\n\\r\\nLIST /v1/kv HTTP/1.1"}'))
    connection.feed(post("kv/b", b'{"a":"LIST / HTTP/1.1\n"}') + GET)
    assert [r.operation for r in connection.core.seen[:2]] == [Operation.LIST, Operation.UPDATE]
    assert connection.core.seen[0].path == "kv/"
    assert connection.core.seen[1].data == {"a": "x\r\n\r\nLIST /v1/kv HTTP/1.1"}
    assert connection.statuses()[:2] == [200, 200]


async def test_a_request_that_need_not_wait_makes_no_task() -> None:
    loop = asyncio.get_running_loop()
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coro: object) -> asyncio.Task[object]:
        made.append(repr(coro))
        return asyncio.Task(coro, loop=loop)  # type: ignore[arg-type]

    loop.set_task_factory(factory)  # type: ignore[arg-type]
    try:
        connection = MemoryConnection()
        for _ in range(100):
            connection.feed(GET)
        assert connection.statuses() == [200] * 100
        assert made == []
        connection.feed(b"GET /v1/wait/x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert len(made) == 1, "a request that waits is a task"
        connection.core.gate("wait/x").set()
        await settle()
        assert len(connection.statuses()) == 101
    finally:
        loop.set_task_factory(None)


async def test_answers_come_in_the_order_of_the_requests() -> None:
    connection = MemoryConnection()
    paths = ["wait/1", "a", "wait/2", "b"]
    connection.feed(b"".join(b"GET /v1/%b HTTP/1.1\r\nHost: x\r\n\r\n" % p.encode() for p in paths))
    connection.core.gate("wait/2").set()
    await settle()
    assert connection.answers() == [], "nothing overtakes the first"
    connection.core.gate("wait/1").set()
    await settle()
    bodies = [body for _, body in connection.answers()]
    assert [p for p in paths if f'"path":"{p}"'.encode() in bodies[paths.index(p)]] == paths


async def test_many_pipelined_requests_give_way_to_others_and_are_all_answered() -> None:
    connection = MemoryConnection()
    count = REQUESTS_A_TURN * 3 + 1
    connection.feed(GET * count)
    assert len(connection.statuses()) == REQUESTS_A_TURN
    await settle()
    assert connection.statuses() == [200] * count


async def test_reading_pauses_while_an_answer_is_due_and_goes_on_after_it() -> None:
    connection = MemoryConnection()
    connection.feed(b"GET /v1/wait/x HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.feed(GET * (MAX_HELD_BYTES // len(GET) + 2))
    assert connection.transport.paused
    connection.core.gate("wait/x").set()
    for _ in range(200):
        await asyncio.sleep(0)
    assert not connection.transport.paused
    assert len(connection.statuses()) == MAX_HELD_BYTES // len(GET) + 3


async def test_a_client_that_does_not_read_is_not_served_further() -> None:
    connection = MemoryConnection()
    connection.protocol.pause_writing()
    connection.feed(GET * 3)
    assert connection.transport.paused
    assert connection.core.seen == []
    connection.protocol.resume_writing()
    assert connection.statuses() == [200] * 3
    assert not connection.transport.paused


async def test_a_body_may_come_byte_by_byte() -> None:
    connection = MemoryConnection()
    for byte in post("kv/a", b'{"k":"v"}') + GET:
        connection.feed(bytes([byte]))
    assert connection.core.seen[0].data == {"k": "v"}
    assert connection.statuses() == [200, 200]


async def test_a_chunked_body_is_read_and_the_next_request_found() -> None:
    connection = MemoryConnection()
    connection.feed(
        b"POST /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'4\r\n{"k"\r\n5\r\n:"v"}\r\n0\r\n\r\nLIST /v1/kv HTTP/1.1\r\nHost: x\r\n\r\n'
    )
    assert [r.operation for r in connection.core.seen] == [Operation.UPDATE, Operation.LIST]
    assert connection.core.seen[0].data == {"k": "v"}


async def test_continue_is_said_only_when_the_body_is_waited_for() -> None:
    connection = MemoryConnection()
    whole = post("kv/a", b'{"k":"v"}', b"Expect: 100-continue")
    cut = whole.index(b"\r\n\r\n") + 4
    connection.feed(whole[:cut])
    assert connection.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.feed(whole[cut:])
    assert connection.sent.count(b"HTTP/1.1 200") == 1
    together = MemoryConnection()
    together.feed(whole)
    assert together.statuses() == [200]


async def test_a_length_beyond_the_limit_is_refused_before_the_body() -> None:
    connection = MemoryConnection(limits=Limits(max_request_bytes=10))
    connection.feed(b"POST /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
    assert connection.answers() == [(413, b'{"errors":["http: request body too large"]}\n')]
    assert connection.over
    connection.feed(b"x" * 11 + GET)
    assert connection.core.seen == []


async def test_chunks_beyond_the_limit_are_refused_although_no_length_was_said() -> None:
    connection = MemoryConnection(limits=Limits(max_request_bytes=10))
    connection.feed(b"POST /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.feed(b"6\r\n" + b"x" * 6 + b"\r\n")
    assert connection.sent == b""
    connection.feed(b"5\r\n")
    assert connection.answers() == [(413, b'{"errors":["http: request body too large"]}\n')]
    assert connection.core.seen == []


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * MAX_HEAD_BYTES, 431),
        (b"GET /" + b"a" * MAX_HEAD_BYTES, 431),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"\x00", 400),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
    ],
)
async def test_what_cannot_become_a_request_ends_the_connection(data: bytes, status: int) -> None:
    connection = MemoryConnection()
    connection.feed(data)
    assert connection.statuses() == [status]
    assert connection.over
    connection.feed(GET)
    assert connection.core.seen == [], "nothing after it is believed"


async def test_nothing_of_one_request_reaches_the_next() -> None:
    connection = MemoryConnection()
    connection.feed(b"GET /v1/a?x=1 HTTP/1.1\r\nHost: x\r\nX-Vault-Token: secret\r\n\r\n")
    connection.feed(GET)
    connection.feed(post("b", b'{"k":1}', b"X-Vault-Token: other"))
    connection.feed(b"DELETE /v1/c HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [r.client_token for r in connection.core.seen] == ["secret", "", "other", ""]
    assert [r.data for r in connection.core.seen] == [{"x": "1"}, {}, {"k": 1}, {}]


async def test_a_bug_is_a_500_and_its_text_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    connection = MemoryConnection()
    with caplog.at_level(logging.ERROR, logger="zvault"):
        connection.feed(b"GET /v1/crash HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
    assert connection.answers()[0] == (500, b'{"errors":["internal error"]}\n')
    assert connection.statuses() == [500, 200], "the connection goes on"
    assert "a-secret-value" not in caplog.text + connection.sent.decode()
    assert "KeyError" in caplog.text


async def test_http_1_0_closes_after_the_answer_unless_asked_to_stay() -> None:
    closing = MemoryConnection()
    closing.feed(b"GET /v1/a HTTP/1.0\r\n\r\n")
    assert closing.transport.closed
    staying = MemoryConnection()
    staying.feed(b"GET /v1/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
    assert staying.statuses() == [200, 200]
    assert staying.sent.count(b"Connection: keep-alive") == 2
    assert not staying.transport.closed


async def test_connection_close_is_honoured_and_later_requests_are_not_read() -> None:
    connection = MemoryConnection()
    connection.feed(b"GET /v1/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + GET)
    assert connection.statuses() == [200]
    assert connection.transport.closed
    assert len(connection.core.seen) == 1


async def test_the_end_answers_what_was_begun_and_leaves_the_rest_unread() -> None:
    core = FakeCore()
    connection = MemoryConnection(core)
    connection.feed(b"GET /v1/wait/x HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
    ending = asyncio.create_task(connection.connections.finish(5.0))
    await settle()
    assert not connection.transport.closed
    core.gate("wait/x").set()
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert connection.statuses() == [200]
    assert b"Connection: close" in connection.sent
    assert core.finished == ["wait/x"], "the pipelined one was never begun"
    connection.protocol.connection_lost(None)
    assert await ending == 0


async def test_the_end_closes_an_idle_connection_without_a_word() -> None:
    connection = MemoryConnection()
    connection.feed(GET)
    before = connection.sent
    connection.protocol.close_when_idle()
    assert connection.transport.closed
    assert connection.sent == before


async def test_a_request_half_sent_at_the_end_may_still_arrive() -> None:
    connection = MemoryConnection()
    whole = post("kv/a", b'{"k":"v"}')
    connection.feed(whole[:-3])
    ending = asyncio.create_task(connection.connections.finish(5.0))
    await settle()
    connection.feed(whole[-3:])
    assert connection.statuses() == [200]
    connection.protocol.connection_lost(None)
    assert await ending == 0


async def test_deadlines_end_a_slow_head_a_slow_body_and_an_idle_connection() -> None:
    limits = Limits(read_header_seconds=10, read_seconds=30, idle_seconds=300)
    for data, seconds in [
        (b"GET /v1/a HT", 10),
        (b"", 10),
        (post("kv/a", b'{"k":"v"}')[:-1], 30),
        (GET, 300),
        (GET + b"GET", 10),
    ]:
        connection = MemoryConnection(limits=limits)
        now = connection.connections.now
        connection.feed(data)
        connection.connections.sweep(now + seconds - 1)
        assert not connection.transport.closed, (data, seconds)
        connection.feed(b"")
        connection.connections.sweep(now + seconds + 1)
        assert connection.transport.closed, (data, seconds)


async def test_dripping_bytes_do_not_move_the_deadline() -> None:
    connection = MemoryConnection(limits=Limits(read_header_seconds=10))
    now = connection.connections.now
    for second in range(9):
        connection.feed(GET[second : second + 1])
        connection.connections.sweep(now + second + 1)
    assert not connection.transport.closed
    connection.connections.sweep(now + 10.5)
    assert connection.transport.closed


async def test_a_dripping_body_does_not_move_the_deadline() -> None:
    connection = MemoryConnection(limits=Limits(read_seconds=30))
    whole = post("kv/a", b'{"k":"a value that drips"}')
    body = whole.index(b"{")
    connection.feed(whole[:body])
    end = connection.protocol.deadline
    for byte in whole[body:-1]:
        connection.feed(bytes([byte]))
    assert connection.protocol.deadline == end


async def test_the_end_waits_for_what_a_client_began_that_left() -> None:
    connection = MemoryConnection()
    connection.feed(b"POST /v1/wait/w HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.transport.closed = True
    connection.protocol.connection_lost(ConnectionResetError())
    ending = asyncio.create_task(connection.connections.finish(5.0))
    await settle()
    assert not ending.done()
    connection.core.gate("wait/w").set()
    assert await ending == 0
    assert connection.core.finished == ["wait/w"]


async def test_a_request_that_takes_too_long_is_answered_and_still_finished() -> None:
    connection = MemoryConnection(limits=Limits(max_request_seconds=90))
    connection.feed(b"POST /v1/wait/w HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.connections.sweep(connection.connections.now + 91)
    assert connection.answers() == [(500, b'{"errors":["context deadline exceeded"]}\n')]
    assert connection.over
    connection.core.gate("wait/w").set()
    await settle()
    assert connection.core.finished == ["wait/w"]
    assert connection.connections.executing == 0
    assert len(connection.answers()) == 1


async def test_a_client_that_left_does_not_stop_what_it_began() -> None:
    connection = MemoryConnection()
    connection.feed(b"POST /v1/wait/w HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.transport.closed = True
    connection.protocol.connection_lost(ConnectionResetError())
    connection.core.gate("wait/w").set()
    await settle()
    assert connection.core.finished == ["wait/w"]
    assert connection.sent == b""


async def test_a_client_that_has_said_all_still_gets_its_answers() -> None:
    connection = MemoryConnection()
    connection.feed(b"GET /v1/wait/w HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
    assert connection.protocol.eof_received() is True
    connection.core.gate("wait/w").set()
    await settle()
    assert connection.statuses() == [200, 200]
    assert connection.transport.closed


async def test_head_has_the_length_and_no_body() -> None:
    connection = MemoryConnection()
    connection.feed(b"HEAD /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = connection.sent.partition(b"\r\n\r\n")
    assert b"Content-Length: " in head
    assert body == b""


async def test_no_deadline_is_early_however_old_the_clock_of_the_sweep_is() -> None:
    connection = MemoryConnection(limits=Limits(read_header_seconds=1.0))
    connection.connections.now -= 60.0
    connection.protocol.connection_made(connection.transport)
    now = asyncio.get_running_loop().time()
    connection.connections.sweep(now + 0.5)
    assert not connection.transport.closed
    connection.connections.sweep(now + 2.0)
    assert connection.transport.closed
