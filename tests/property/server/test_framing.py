"""However the bytes of a conversation are cut, it is the same conversation."""

import asyncio
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.memory_http import MemoryConnection
from zvault.server.wire import ChunkedBody, RefusedRequestError

BODIES = st.sampled_from(
    [b"", b"{}", b'{"a":"LIST / HTTP/1.1\\r\\n\\r\\n"}', b'{"LIST ":"\\r\\nLIST /v1/x HTTP/1.1"}']
)
METHODS = st.sampled_from(["GET", "LIST", "POST", "PUT", "DELETE", "BREW", "HELP"])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """One well-formed request."""
    method = draw(METHODS)
    body = draw(BODIES) if method in ("POST", "PUT") else b""
    lines = [f"{method} /v1/kv/{draw(st.integers(0, 99))} HTTP/1.1", "Host: x"]
    if draw(st.booleans()):
        lines.append("X-Vault-Token: LIST ")
    head = "\r\n".join(lines).encode()
    if body and draw(st.booleans()):
        cut = draw(st.integers(0, len(body)))
        pieces = [piece for piece in (body[:cut], body[cut:]) if piece]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        return head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def converse(pieces: list[bytes]) -> tuple[bytes, list[tuple[str, str, object]]]:
    """What came back and what the engine saw."""

    async def talk() -> tuple[bytes, list[tuple[str, str, object]]]:
        connection = MemoryConnection()
        for piece in pieces:
            connection.feed(piece)
        await asyncio.sleep(0)
        seen = [(str(r.operation), r.path, r.data) for r in connection.core.seen]
        return connection.sent, seen

    return asyncio.run(talk())


def test_a_conversation_is_the_same_at_every_split() -> None:
    whole = (
        b"LIST /v1/kv HTTP/1.1\r\nHost: x\r\n\r\n"
        b'POST /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{"a":"LIST /v1/kv "}'
        b"POST /v1/kv/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'5\r\n{"b":\r\n3\r\n"L"\r\n1\r\n}\r\n0\r\n\r\n'
        b"LIST /v1/kv/c HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    expected = converse([whole])
    assert [operation for operation, _, _ in expected[1]] == ["list", "update", "update", "list"]
    for cut in range(1, len(whole)):
        assert converse([whole[:cut], whole[cut:]]) == expected, cut
    assert converse([bytes([byte]) for byte in whole]) == expected


@settings(deadline=None, max_examples=60)
@given(st.lists(messages(), min_size=1, max_size=6), st.data())
def test_any_conversation_is_the_same_however_it_is_cut(
    requests: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(requests)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    together = converse([whole])
    assert converse(pieces) == together
    assert converse(requests) == together
    assert together[0].count(b"HTTP/1.1 ") == len(requests)


NOISE = [b"\r", b"\n", b"\0", b" ", b"\t", b":", b"LIST ", b"\r\n\r\n", b"0\r\n\r\n", b"\xff"]
LINES = [b"Transfer-Encoding: chunked\r\n", b"Content-Length: 1\r\n", b" folded\r\n"]
SPOILS = st.sampled_from([*NOISE, *LINES])


def spoiled_conversation_is_one(requests: list[bytes], data: st.DataObject) -> None:
    """Whatever is put in or taken out, the cuts of the network do not decide what is executed; a
    refusal may come earlier, and then says another reason."""
    whole = bytearray(b"".join(requests))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole)))
        whole[place : place + data.draw(st.integers(0, 3))] = data.draw(SPOILS)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=8)))
    pieces = [bytes(whole[a:b]) for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    together = converse([bytes(whole)])
    apart = converse([piece for piece in pieces if piece])
    assert apart[1] == together[1]
    assert outcomes(apart[0]) == outcomes(together[0])
    assert len(outcomes(together[0])) >= len(together[1])


def outcomes(sent: bytes) -> list[bool]:
    """Taken or refused, answer by answer; what a refusal says (400, 505) may hang on the cuts."""
    return [status < b"4" for status in re.findall(rb"HTTP/1\.1 (\d)\d\d ", sent)]


@settings(deadline=None, max_examples=120)
@given(st.lists(messages(), min_size=1, max_size=4), st.data())
def test_a_spoiled_conversation_is_the_same_however_it_is_cut(
    requests: list[bytes], data: st.DataObject
) -> None:
    spoiled_conversation_is_one(requests, data)


@pytest.mark.soak
@pytest.mark.timeout(900)
@settings(deadline=None, max_examples=20_000)
@given(st.lists(messages(), min_size=1, max_size=8), st.data())
def test_many_spoiled_conversations_are_the_same_however_they_are_cut(
    requests: list[bytes], data: st.DataObject
) -> None:
    spoiled_conversation_is_one(requests, data)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=300))
def test_no_bytes_make_it_fall_or_answer_anything_but_http(noise: bytes) -> None:
    async def talk() -> None:
        connection = MemoryConnection()
        connection.feed(noise)
        connection.feed(b"\r\n\r\n")
        assert all(400 <= status < 600 for status in connection.statuses())
        assert connection.core.seen == []

    asyncio.run(talk())


HEADER_NOISE = st.binary(max_size=60).filter(lambda noise: b"\r\n\r\n" not in noise)


@settings(deadline=None, max_examples=150)
@given(HEADER_NOISE)
def test_noise_in_a_header_is_one_request_or_a_refusal(noise: bytes) -> None:
    async def talk() -> None:
        connection = MemoryConnection()
        connection.feed(b"GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n" + noise + b"\r\n\r\n")
        assert len(connection.core.seen) <= 1
        for status, body in connection.answers():
            assert ("errors" in json.loads(body)) is (status != 200)

    asyncio.run(talk())


@settings(deadline=None, max_examples=150)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.data())
def test_chunks_come_back_as_one_body(pieces: list[bytes], data: st.DataObject) -> None:
    tail = b"GET / HTTP/1.1"
    wire = b"".join(b"%X;ext\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\nT: x\r\n\r\n" + tail
    cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=6)))
    body, after = ChunkedBody(10_000), b""
    done = False
    for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        if done:
            after += wire[a:b]
            continue
        rest = body.feed(wire[a:b])
        if rest is not None:
            done, after = True, rest
    assert (bytes(body.body), after, done) == (b"".join(pieces), tail, True)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=80))
def test_noise_as_chunks_is_taken_or_refused_and_never_falls(noise: bytes) -> None:
    body = ChunkedBody(50)
    status = 0
    try:
        body.feed(noise)
    except RefusedRequestError as refused:
        status = refused.status
    assert status in (0, 400, 413, 431)
    assert len(body.body) <= 50
