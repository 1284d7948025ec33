"""Hostile clients against a real server process: it answers or closes, and goes on."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.engine_server import EngineServer, start_server

SMALL = "tls_disable = true\n max_request_size = 2000\n http_read_header_timeout = 1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineServer]:
    server = start_server(tmp_path_factory.mktemp("abuse"), listener=SMALL)
    server.initialize()
    assert server.request("POST", "sys/mounts/kv", {"type": "kv"})[0] == 204
    assert server.request("POST", "kv/a", {"owner": "first"})[0] == 204
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log


@pytest.fixture(autouse=True)
def _still_serving(server: EngineServer) -> Iterator[None]:
    yield
    status, body = server.request("GET", "kv/a")
    assert (status, body["data"]) == (200, {"owner": "first"})


def connect(server: EngineServer, timeout: float = 10.0) -> socket.socket:
    port = int(server.address.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout)


def exchange(server: EngineServer, data: bytes) -> bytes:
    """Everything that comes back until the server ends the connection; it has to."""
    with closing(connect(server, 20.0)) as client:
        received = b""
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65_536):
                received += chunk
        except ConnectionError:
            pass
        return received


def head(server: EngineServer, method: str = "POST", path: str = "/v1/kv/b") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {server.token}\r\n".encode()


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


@pytest.mark.parametrize(
    "tail",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 0\r\n\r\n12345",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0\nX: y\r\n\r\n",
    ],
)
def test_a_smuggled_request_is_not_executed(server: EngineServer, tail: bytes) -> None:
    smuggled = head(server, "DELETE", "/v1/kv/a") + b"\r\n"
    found = statuses(exchange(server, head(server) + tail + smuggled))
    assert len(found) == 1
    assert 400 <= found[0] < 600


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /v1/kv/b HTTP/1.1\r\nHost: x\r\nContent-Length: 2001\r\n\r\n", 413),
        (b"POST /v1/kv/b HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n", 413),
        (
            b"POST /v1/kv/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
            413,
        ),
        (b"GET /v1/kv/b HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000, 431),
        (b"GET /v1/kv/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /v1/kv/%ff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /v1/kv/a HTTP/1.1\r\nHost: x\r\nX-Vault-Token: \xff\xfe\r\n\r\n", 403),
        (b"GET /v1/kv/a HTTP/1.1\r\nHost: x\r\nX-Vault-Token: \x1b\r\n\r\n", 400),
        (b"PUT /v1/kv/../sys/seal HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\x00" * 100_000, 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
    ],
)
def test_nonsense_is_answered_and_ends(server: EngineServer, data: bytes, status: int) -> None:
    received = exchange(server, data)
    assert statuses(received) == [status]
    assert b'{"errors":[' in received


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"a":', b"\xff\xfe", b'{"a":"\xff"}', b"[" * 1_900, b'x{"a":1}', b"nul"],
)
def test_bad_json_is_400_and_the_connection_goes_on(server: EngineServer, body: bytes) -> None:
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    following = b"GET /v1/sys/init HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    found = statuses(exchange(server, head(server) + length + body + following))
    assert found in ([400, 200], [204, 200])
    if body != b'{"a":"\xff"}':
        assert found == [400, 200]


def test_a_slow_client_is_let_go(server: EngineServer) -> None:
    with closing(connect(server)) as client:
        client.sendall(b"GET /v1/kv/a HT")
        assert client.recv(100) == b"", "closed after the header's second"


def test_clients_that_leave_in_the_middle_of_anything_do_no_harm(server: EngineServer) -> None:
    whole = head(server, "GET", "/v1/kv/a") + b"\r\n"
    for cut in range(0, len(whole), 7):
        with closing(connect(server)) as client:
            client.sendall(whole[:cut])
    for _ in range(50):
        with closing(connect(server)) as client:
            client.sendall(whole * 20)


def test_pipelined_requests_of_two_clients_keep_apart(server: EngineServer) -> None:
    mine = head(server, "GET", "/v1/auth/token/lookup-self") + b"\r\n"
    nobodys = b"GET /v1/auth/token/lookup-self HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /v1/sys/init HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    results: dict[str, bytes] = {}

    def talk(name: str, data: bytes) -> None:
        results[name] = exchange(server, data)

    threads = [
        threading.Thread(target=talk, args=(name, data))
        for name, data in (("mine", mine * 100 + last), ("nobody", nobodys * 100 + last))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses(results["mine"]) == [200] * 101
    assert statuses(results["nobody"]) == [403] * 100 + [200]
    assert server.token.encode() not in results["nobody"]


def test_a_thousand_idle_connections_do_not_keep_one_from_being_served(
    server: EngineServer,
) -> None:
    idle = [connect(server) for _ in range(1_000)]
    try:
        assert server.request("GET", "kv/a")[0] == 200
    finally:
        for client in idle:
            client.close()


def test_a_client_that_never_reads_does_not_stop_the_others(server: EngineServer) -> None:
    with closing(connect(server)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.settimeout(1.0)
        request = head(server, "GET", "/v1/sys/mounts") + b"\r\n"
        try:
            for _ in range(4_000):
                client.sendall(request * 100)
        except TimeoutError:
            pass
        else:
            pytest.fail("the server took requests for ever without being read")
        assert server.request("GET", "kv/a")[0] == 200


def test_the_log_holds_no_token_and_no_traceback(server: EngineServer, tmp_path: Path) -> None:
    assert server.token not in server.log
    assert "Traceback" not in server.log
