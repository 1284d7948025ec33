"""Bytes on the wire: framed as llhttp does it, or refused."""

import pytest

from zvault.server.wire import (
    MAX_CHUNK_LINE_BYTES,
    ChunkedBody,
    RefusedRequestError,
    read_headers,
    read_request_line,
)

HOST = b"Host: x\r\n"


def head(*lines: bytes, version: bytes = b"HTTP/1.1") -> object:
    return read_headers(version, HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n")


@pytest.mark.parametrize(
    "method", ["GET", "LIST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "HELP", "OPTIONS"]
)
def test_vaults_methods_are_read(method: str) -> None:
    line = f"{method} /v1/a HTTP/1.1".encode()
    assert read_request_line(line) == (method, b"/v1/a", b"HTTP/1.1")


@pytest.mark.parametrize("method", [b"BREW", b"list", b"LISTS", b"LOCK", b"CONNECT", b"PRI"])
def test_an_unknown_method_is_read_as_unknown(method: bytes) -> None:
    assert read_request_line(method + b" / HTTP/1.1")[0] == ""


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /a  HTTP/1.1", 400),
        (b"GET  /a HTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET /a", 400),
        (b"GET /a HTTP/2.0", 505),
        (b"GET /a HTTP/1.1x", 505),
        (b"GET /a RTSP/1.1", 400),
        (b"G(T /a HTTP/1.1", 400),
        (b" /a HTTP/1.1", 400),
        (b"GET /a\x00b HTTP/1.1", 400),
        (b"GET /a\tb HTTP/1.1", 400),
        (b"GET /a\x7f HTTP/1.1", 400),
        (b"", 400),
    ],
)
def test_a_malformed_request_line_is_refused(line: bytes, status: int) -> None:
    with pytest.raises(RefusedRequestError) as refused:
        read_request_line(line)
    assert refused.value.status == status


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 5"),
        (b"Content-Length: 5, 5",),
        (b"Content-Length: +5",),
        (b"Content-Length: -1",),
        (b"Content-Length: 0x5",),
        (b"Content-Length: 1 5",),
        (b"Content-Length:",),
        (b"Content-Length: 99999999999999999999999",),
        (b"Transfer-Encoding: xchunked",),
        (b"Transfer-Encoding: gzip, chunked",),
        (b"Transfer-Encoding: chunked, identity",),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding:\x0bchunked",),
        (b"Transfer-Encoding : chunked",),
        (b"X: a\r\n b",),
        (b"X: a\nY: b",),
        (b"X: a\rb",),
        (b"X: a\x00b",),
        (b"X: a\x1bb",),
        (b": a",),
        (b"no colon",),
        (b"Host: y",),
        (b"Expect: a-miracle",),
    ],
)
def test_what_two_readers_could_frame_differently_is_refused(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(RefusedRequestError):
        head(*lines)


def test_a_control_byte_in_a_token_has_the_words_clients_look_for() -> None:
    with pytest.raises(RefusedRequestError, match="invalid header value"):
        head(b"X-Vault-Token: \x1b")


def test_host_is_needed_in_1_1_and_not_in_1_0() -> None:
    with pytest.raises(RefusedRequestError):
        read_headers(b"HTTP/1.1", b"\r\n")
    assert not read_headers(b"HTTP/1.0", b"\r\n").keep_alive


def test_chunked_needs_1_1() -> None:
    with pytest.raises(RefusedRequestError):
        head(b"Transfer-Encoding: chunked", version=b"HTTP/1.0")


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        (b"HTTP/1.1", b"", True),
        (b"HTTP/1.1", b"close", False),
        (b"HTTP/1.1", b"Keep-Alive, Close", False),
        (b"HTTP/1.0", b"", False),
        (b"HTTP/1.0", b"Keep-Alive", True),
        (b"HTTP/1.1", b"upgrade", True),
    ],
)
def test_keep_alive_follows_version_and_connection(
    version: bytes, connection: bytes, stays: bool
) -> None:
    line = b"Connection: " + connection + b"\r\n" if connection else b""
    upgrade = b"Upgrade: h2c\r\n" if connection == b"upgrade" else b""
    assert read_headers(version, HOST + line + upgrade + b"\r\n").keep_alive is stays


def test_the_token_comes_from_its_header_before_a_bearer() -> None:
    bearer, token = b"Authorization: Bearer b", b"X-Vault-Token: t"
    assert head(bearer, token).token == "t"
    assert head(token, bearer).token == "t"
    assert head(bearer).token == "b"
    assert head(b"Authorization: Basic Zm9v").token == ""
    assert head(token, b"X-Vault-Token: u").token == "t", "the first counts, as in Go"
    assert head(b"X-Vault-Token:", token).token == "t"


def chunked(data: bytes, limit: int = 1_000) -> tuple[bytes, bytes | None]:
    body = ChunkedBody(limit)
    rest = body.feed(data)
    return bytes(body.body), rest


def test_a_chunked_body_ends_where_it_says() -> None:
    data = b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\nC: d\r\n\r\nGET / HT"
    assert chunked(data) == (b"hello world", b"GET / HT")


def test_a_chunked_body_is_the_same_at_every_split() -> None:
    data = b"3\r\nabc\r\n0A;e\r\n0123456789\r\n0\r\nT: x\r\n\r\nREST"
    for first in range(len(data)):
        body = ChunkedBody(1_000)
        rest = body.feed(data[:first])
        if rest is None:
            rest = body.feed(data[first:])
        else:
            rest += data[first:]
        assert (bytes(body.body), rest) == (b"abc0123456789", b"REST")


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"1_0\r\n",
        b" 1\r\na\r\n",
        b"1 \r\na\r\n",
        b"1\na\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n\r",
        b"1;\x00\r\na\r\n",
        b"0" * MAX_CHUNK_LINE_BYTES,
        b"1000000000000000000\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n: x\r\n\r\n",
        b"0\r\nA: \x00\r\n\r\n",
        b"0\r\n" + b"A: " + b"x" * 9_000,
    ],
)
def test_a_malformed_chunk_is_refused(data: bytes) -> None:
    with pytest.raises(RefusedRequestError):
        chunked(data)


def test_a_chunk_beyond_the_limit_is_refused_before_it_arrives() -> None:
    with pytest.raises(RefusedRequestError) as refused:
        chunked(b"3e9\r\n")
    assert refused.value.status == 413
    with pytest.raises(RefusedRequestError):
        chunked(b"3\r\nabc\r\n3\r\n", limit=5)
    assert chunked(b"3e9\r\n", limit=-1) == (b"", None)
