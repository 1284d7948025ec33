"""To whom shares go: never to a squatter on the port, never in the clear, never to a wrong key."""

import http.server
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from launcher.ports import free_port
from tests.support.keyfiles import make_shares
from zvault.base.errors import UsageError
from zvault.base.secret import Secret
from zvault.ops.unseal.errors import UntrustedPeerError
from zvault.ops.unseal.peer import PeerRules, resolve_owner
from zvault.ops.unseal.submit import submit_round

SEALED = b'{"initialized":true,"sealed":true,"t":3,"n":5,"progress":0,"nonce":"","version":"1"}'
NOBODY = 65534
SQUATTER = """
import os, socket, sys
if len(sys.argv) > 2:
    os.setuid(int(sys.argv[2]))
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("up", flush=True)
while True:
    connection, _ = listener.accept()
    connection.settimeout(3)
    seen = b""
    try:
        while chunk := connection.recv(65536):
            seen += chunk
            if b"\\r\\n\\r\\n" in seen:
                break
    except OSError:
        pass
    sys.stdout.write(f"got {len(seen)}\\n")
    sys.stdout.flush()
    connection.close()
"""


@contextmanager
def squatter(port: int, uid: int | None) -> Iterator[Callable[[], str]]:
    """A process that listens on the port and reports how many bytes it was given."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", SQUATTER, str(port), *([str(uid)] if uid else [])],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"]},
        cwd="/",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    try:
        yield process.stdout.readline
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Sealed(http.server.BaseHTTPRequestHandler):
    """Answers seal-status as a sealed Vault and remembers every body it was sent."""

    bodies: list[bytes]

    def _answer(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(SEALED)))
        self.end_headers()
        self.wfile.write(SEALED)

    do_GET = do_PUT = do_POST = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web_server(context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[bytes]]]:
    bodies: list[bytes] = []
    handler = type("Handler", (Sealed,), {"bodies": bodies})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1], bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_squatter_on_the_port_gets_not_one_byte() -> None:
    port = free_port()
    runs_as, expected = (NOBODY, 0) if os.geteuid() == 0 else (None, 0)
    with squatter(port, runs_as) as reports:
        vault = PeerRules(f"http://127.0.0.1:{port}", owner_uid=expected).connect(3)
        with pytest.raises(UntrustedPeerError, match="it got nothing"):
            vault.submit_share(make_shares(1)[0])
        with pytest.raises(UntrustedPeerError, match="it got nothing"):
            vault.seal_status()
        assert reports() == "got 0\n"
        assert reports() == "got 0\n"


def test_another_process_of_the_same_user_is_refused_where_the_server_is_recorded() -> None:
    with web_server() as (port, bodies):
        rules = PeerRules(
            f"http://127.0.0.1:{port}", owner_uid=os.getuid(), owner_pid=lambda: os.getppid()
        )
        with pytest.raises(UntrustedPeerError, match="recorded server process"):
            rules.connect(3).seal_status()
        own = PeerRules(f"http://127.0.0.1:{port}", owner_uid=os.getuid(), owner_pid=os.getpid)
        assert own.connect(3).seal_status().sealed
    assert bodies == [b""]


def test_the_configured_users_socket_is_trusted_on_every_kind_of_loopback() -> None:
    with web_server() as (port, _):
        for host in ("127.0.0.1", "localhost"):
            rules = PeerRules(f"http://{host}:{port}", owner_uid=os.getuid())
            assert rules.connect(3).seal_status().threshold == 3


def test_ipv6_loopback_is_trusted_too() -> None:
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    port = listener.getsockname()[1]

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(SEALED), SEALED)
            )

    thread = threading.Thread(target=serve)
    thread.start()
    vault = PeerRules(f"http://[::1]:{port}", owner_uid=os.getuid()).connect(3)
    assert vault.seal_status().sealed
    thread.join()
    vault.close()
    listener.close()


def test_a_connection_that_nobody_accepts_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zvault.ops.unseal.peer._ACCEPT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UntrustedPeerError, match="nobody accepted"):
            PeerRules(f"http://127.0.0.1:{port}", owner_uid=0).connect(1).submit_share(
                Secret(bytes(33))
            )
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(2)
            assert connection.recv(1) == b""


@pytest.mark.parametrize("address", ["http://192.0.2.1:8200", "http://vault.example:8200"])
def test_plaintext_to_another_machine_is_refused_before_any_connection(address: str) -> None:
    with pytest.raises(UntrustedPeerError, match="neither https nor on this machine"):
        PeerRules(address, owner_uid=0).connect(1)


def test_https_by_the_systems_certificates_alone_is_no_pin() -> None:
    with pytest.raises(UntrustedPeerError, match="no pin"):
        PeerRules("https://127.0.0.1:8200", owner_uid=0).connect(1)


@pytest.mark.parametrize("pin", ["abc", "g" * 64, ""])
def test_a_pin_of_another_shape_is_a_usage_error(pin: str) -> None:
    with pytest.raises(UsageError):
        PeerRules("https://127.0.0.1:1", owner_uid=0, spki_pins=(pin,)).connect(1)


def test_an_owner_is_a_name_or_a_number_that_exists() -> None:
    assert resolve_owner("root") == 0
    assert resolve_owner("4711") == 4711
    assert resolve_owner(None) == os.getuid()
    with pytest.raises(UsageError):
        resolve_owner("no-such-user-here")


def test_nothing_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("VAULT_TOKEN", "s.from-the-environment")
    with web_server() as (port, bodies):
        vault = PeerRules(f"http://127.0.0.1:{port}", owner_uid=os.getuid()).connect(3)
        assert vault.seal_status().sealed
    assert bodies == [b""]


def test_a_vault_that_echoes_a_share_in_its_error_does_not_get_it_into_ours() -> None:
    share = make_shares(1)[0]

    class Echo(Sealed):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            echoed = b'{"errors":["invalid key %s"]}' % body.split(b'"key": "')[-1][:66]
            self.send_response(400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(echoed)))
            self.end_headers()
            self.wfile.write(echoed)

        do_PUT = do_POST = _answer  # noqa: N815

    server = http.server.HTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    port = server.server_address[1]
    vault = PeerRules(f"http://127.0.0.1:{port}", owner_uid=os.getuid()).connect(3)
    with pytest.raises(Exception, match="redacted") as refusal:
        vault.submit_share(share)
    thread.join()
    vault.close()
    server.server_close()
    assert share.reveal().hex() not in str(refusal.value)


def test_shares_reach_a_trusted_peer(tmp_path: Path) -> None:
    with web_server() as (port, bodies):
        vault = PeerRules(f"http://127.0.0.1:{port}", owner_uid=os.getuid()).connect(3)
        with pytest.raises(Exception, match="progress is 0"):
            submit_round(vault, make_shares(3))
    assert any(make_shares(1)[0].reveal().hex().encode() in body for body in bodies)
