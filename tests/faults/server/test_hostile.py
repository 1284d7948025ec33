"""A hostile client and a real server with an audit device: framing tricks, drips, odd JSON, memory.

Every test ends with the proof that others are served; no assertion is about how long anything took.
"""

import json
import random
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.support.engine_server import EngineServer, start_server

LISTENER = """tls_disable = true
 max_request_size = 400000
 http_read_header_timeout = 1
 http_read_timeout = 1"""
MEGABYTE = 1 << 20
MOST_GROWTH = 64 * MEGABYTE
"""Resident memory that no abuse below may add for good."""
SECRET = "first-and-only"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineServer]:
    place = tmp_path_factory.mktemp("hostile")
    server = start_server(place, listener=LISTENER)
    server.initialize()
    audit = {"type": "file", "options": {"file_path": str(place / "audit.log")}}
    assert server.request("POST", "sys/audit/file", audit)[0] == 204
    assert server.request("POST", "sys/mounts/kv", {"type": "kv"})[0] == 204
    assert server.request("POST", "kv/a", {"owner": SECRET})[0] == 204
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log
    assert server.token not in server.log


@pytest.fixture(autouse=True)
def _still_serving(server: EngineServer) -> Iterator[None]:
    yield
    status, body = server.request("GET", "kv/a")
    assert (status, body["data"]) == (200, {"owner": SECRET})


def connect(server: EngineServer) -> socket.socket:
    port = int(server.address.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), 30)


def received(client: socket.socket) -> bytes:
    """Everything until the server ends the connection; it has to."""
    found = b""
    try:
        while chunk := client.recv(65_536):
            found += chunk
    except ConnectionError:
        pass
    return found


def exchange(server: EngineServer, data: bytes) -> bytes:
    with closing(connect(server)) as client:
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return received(client)


def answers(found: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer; fails on bytes that belong to none."""
    result = []
    while found:
        head, separator, found = found.partition(b"\r\n\r\n")
        assert separator, head
        assert head.startswith(b"HTTP/1.1 "), head
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields.get(b"content-length", b"0"))
        result.append((int(head.split(b" ")[1]), found[:length]))
        found = found[length:]
    return result


def head(method: str, path: str, token: str, *lines: str) -> bytes:
    first = [
        f"{method} {path} HTTP/1.1",
        "Host: x",
        *([f"X-Vault-Token: {token}"] if token else []),
    ]
    return "\r\n".join([*first, *lines, "", ""]).encode()


def resident(server: EngineServer) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "tail",
    [
        CHUNKED + b"0\n\r\n",
        CHUNKED + b"0\r\n\n",
        CHUNKED + b"0x0\r\n\r\n",
        CHUNKED + b"-1\r\n\r\n",
        CHUNKED + b"+0\r\n\r\n",
        CHUNKED + b" 0\r\n\r\n",
        CHUNKED + b"\r\n0\r\n\r\n",
        CHUNKED + b"0 0\r\n\r\n",
        CHUNKED + b"0;\x00\r\n\r\n",
        CHUNKED + b"0;a\nb\r\n\r\n",
        CHUNKED + b"ffffffffffffffffffff\r\n\r\n",
        CHUNKED + b"2\r\n{}X\r\n0\r\n\r\n",
        CHUNKED + b"3\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"0\r\nX: y\n\r\n\r\n",
        CHUNKED + b"0\r\nno trailer\r\n\r\n",
        CHUNKED + b"0\r\n folded: y\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        b"Transfer\xadEncoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0, 0\r\n\r\n",
        b"Content-Length: +0\r\n\r\n",
        b"Content-Length: 0x0\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 0\r\nContent-Length: 30\r\n\r\n",
        b"Content-Length : 0\r\n\r\n",
        b"Content-Length: 0\r\n Continued: 1\r\n\r\n",
        b"X: a\r\n\tb\r\n\r\n",
        b"X: a\rb\r\n\r\n",
        b"X: a\x00b\r\n\r\n",
        b"X\x00: a\r\n\r\n",
        b": no name\r\n\r\n",
        b"No colon\r\n\r\n",
        b"Host: second\r\n\r\n",
    ],
    ids=repr,
)
def test_what_two_servers_could_read_in_two_ways_is_refused_and_ends(
    server: EngineServer, tail: bytes
) -> None:
    first = head("POST", "/v1/kv/b", server.token)[:-2]
    smuggled = head("DELETE", "/v1/kv/a", server.token)
    found = answers(exchange(server, first + tail + smuggled))
    assert len(found) == 1
    assert 400 <= found[0][0] < 600


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/kv/%00", 400),
        ("/v1/kv/%0d%0aX:y", 400),
        ("/v1/kv/%1b", 400),
        ("/v1/kv/%7f", 400),
        ("/v1/kv/%e2%80%ae", 400),
        ("/v1/kv/%c0%ae%c0%ae/x", 400),
        ("/v1/kv/%ed%a0%80", 400),
        ("/v1/kv/%", 400),
        ("/v1/kv/%zz", 400),
        ("/v1/kv/?a=%ff", 400),
        ("/v1/kv/%252e%252e/sys", 404),
        ("/v1/kv/..%2f..%2fsys/seal", 301),
        ("/v1/kv//a", 301),
        ("http://elsewhere/v1/sys/init", 200),
        ("gopher://x/", 400),
        ("*", 400),
        ("/v1/kv/" + "a" * 60_000, 404),
        ("/v1/kv/" + "a/" * 30_000, 404),
        ("/v1/kv/" + "a" * 70_000, 431),
        ("/v1/kv/a?" + "a&" * 30_000, 200),
    ],
    ids=lambda value: str(value)[:40],
)
def test_odd_paths_have_an_answer(server: EngineServer, path: str, status: int) -> None:
    found = answers(exchange(server, head("GET", path, server.token, "Connection: close")))
    assert [answer[0] for answer in found] == [status]


DEEP = [b"[" * 100_000, b'{"a":' * 60_000, b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *((body, 400) for body in DEEP),
        (b'{"a":' + b"[" * 700 + b"]" * 700 + b"}", 400),
        (b'{"a":"\xff","b":' + b"[" * 700 + b"]" * 700 + b"}", 400),
        (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", 204),
        (b'{"a":' + b"9" * 300_000 + b"}", 400),
        (b'{"a":-1e999999999,"b":1e-999999999}', 204),
        (b'{"a":1.' + b"9" * 300_000 + b"}", 204),
        (b'{"a":NaN}', 400),
        (b'{"a":Infinity}', 400),
        (b'{"a":01}', 400),
        (b'{"a":1,"a":2,"A":3}', 204),
        (b'{"\\u0000":"\\u0000","":"\\ud800"}', 204),
        (b'{"a":"\x01"}', 400),
        (b'\xef\xbb\xbf{"a":1}', 400),
        (b'\xff\xfe{\x00"\x00', 400),
        (b"{" + b",".join(b'"k%d":1' % n for n in range(20_000)) + b"}", 204),
    ],
    ids=lambda value: str(value)[:30],
)
def test_odd_json_is_refused_or_kept_as_it_is(
    server: EngineServer, body: bytes, status: int
) -> None:
    start = head("POST", "/v1/kv/odd", server.token, f"Content-Length: {len(body)}")
    last = head("GET", "/v1/sys/init", "", "Connection: close")
    found = [answer[0] for answer in answers(exchange(server, start + body + last))]
    assert found == [status, 200]


def test_duplicate_keys_and_large_numbers_are_read_once_and_exactly(server: EngineServer) -> None:
    digits = "9" * 4_000
    body = f'{{"a":1,"a":{digits},"b":1.0,"c":1e999999999}}'.encode()
    start = head("POST", "/v1/kv/odd", server.token, f"Content-Length: {len(body)}")
    last = head("GET", "/v1/kv/odd", server.token, "Connection: close")
    found = answers(exchange(server, start + body + last))
    assert [status for status, _ in found] == [204, 200]
    assert f'"data":{{"a":{digits},"b":1.0,"c":1e999999999}}'.encode() in found[1][1]


def drip(server: EngineServer, start: bytes, piece: bytes) -> bytes:
    """One piece at a time, for as long as the server takes them."""
    with closing(connect(server)) as client:
        client.sendall(start)
        client.settimeout(0.2)
        for _ in range(100):
            try:
                client.sendall(piece)
                found = client.recv(65_536)
            except TimeoutError:
                continue
            except OSError:
                return b""
            return found
    raise AssertionError("the server took a request for ever")


def test_a_header_that_drips_is_cut_off(server: EngineServer) -> None:
    assert drip(server, b"GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n", b"X-A: b\r\n") == b""


@pytest.mark.parametrize("how", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_a_body_that_drips_is_cut_off_and_not_executed(server: EngineServer, how: str) -> None:
    start = head("DELETE", "/v1/kv/a", server.token, how)
    assert drip(server, start, b"1\r\n \r\n") == b""


def tokens(server: EngineServer, count: int) -> list[tuple[str, str]]:
    """Tokens and the display names that tell them apart."""
    made = []
    for number in range(count):
        name = f"t{number}"
        body = {"policies": ["default"], "display_name": name}
        _, answer = server.request("POST", "auth/token/create", body)
        made.append((answer["auth"]["client_token"], f"token-{name}"))
    return made


def test_pipelined_requests_of_many_are_answered_in_order_each_to_its_own(
    server: EngineServer,
) -> None:
    everybody = [*tokens(server, 4), ("", "")]
    random_ = random.Random(4)
    asked = [random_.choice(everybody) for _ in range(300)]
    sent = b""
    for token, name in asked:
        path = "/v1/auth/token/lookup-self"
        if random_.random() < 0.3:
            body = json.dumps({"input": "YQ==", "noise": name}).encode()
            length = f"Content-Length: {len(body)}"
            sent += head("POST", "/v1/cubbyhole/mine", token, length) + body
        sent += head("GET", path, token)
    last = head("GET", "/v1/sys/init", "", "Connection: close")
    found = answers(exchange(server, sent + last))
    assert found.pop()[1] == b'{"initialized":true}\n'
    named = [json.loads(body)["data"]["display_name"] for status, body in found if status == 200]
    assert named == [name for _, name in asked if name]
    refused = {body for status, body in found if status not in (200, 204)}
    assert refused == {b'{"errors":["permission denied"]}\n'}
    assert len(found) == sent.count(b" HTTP/1.1\r\n")


def test_memory_is_bounded_whatever_is_sent(server: EngineServer) -> None:
    server.request("GET", "kv/a")
    before = resident(server)
    half = b" " * 300_000
    start = head("POST", "/v1/kv/b", server.token, "Content-Length: 399999")
    with ExitStack() as stack:
        for _ in range(60):
            client = stack.enter_context(closing(connect(server)))
            client.sendall(start + half)
        assert server.request("GET", "kv/a")[0] == 200
        during = resident(server)
    assert during - before < 60 * len(half) + MOST_GROWTH, "no more than what was sent, and a bit"
    noise = random.Random(5)
    for _ in range(150):
        exchange(server, noise.randbytes(20_000))
        exchange(server, head("GET", f"/v1/kv/{noise.random()}", noise.randbytes(9).hex()))
    for body in DEEP:
        length = f"Content-Length: {len(body)}"
        exchange(server, head("POST", "/v1/kv/odd", server.token, length) + body)
    assert resident(server) - before < MOST_GROWTH


@pytest.mark.soak
def test_ten_thousand_idle_connections_cost_little_and_keep_nobody_out(
    server: EngineServer,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 10_500:
        pytest.skip(f"only {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard > 0 else 20_000, hard))
    before = resident(server)
    try:
        with ExitStack() as stack:
            for number in range(10_000):
                stack.enter_context(closing(connect(server)))
                if number % 1_000 == 0:
                    assert server.request("GET", "kv/a")[0] == 200
            assert server.request("GET", "kv/a")[0] == 200
            assert resident(server) - before < 10_000 * 20_000, "20 kB a connection"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_ten_minutes_of_noise_leave_the_server_as_it_was(server: EngineServer) -> None:
    noise = random.Random(time.time_ns())
    pieces = [head("GET", "/v1/kv/a", server.token), head("LIST", "/v1/kv", server.token), CHUNKED]
    before, until = resident(server), time.monotonic() + 600
    while time.monotonic() < until:
        data = bytearray(b"".join(noise.choices(pieces, k=noise.randint(1, 30))))
        for _ in range(noise.randint(0, 6)):
            data[noise.randrange(len(data))] = noise.randrange(256)
        found = exchange(server, bytes(data) + noise.randbytes(noise.randint(0, 40)))
        assert not found or found.startswith(b"HTTP/1.1 ")
    assert resident(server) - before < MOST_GROWTH
