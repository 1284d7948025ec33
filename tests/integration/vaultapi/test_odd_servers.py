"""Things at the address that are no Vault, or one that fails: a name for each, and no retry."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from launcher.ports import free_port
from zvault.base.clock import SystemClock
from zvault.base.errors import PreconditionError, ZvaultError
from zvault.base.secret import Secret
from zvault.ops.tls.files import TlsPaths
from zvault.ops.tls.renewal import init
from zvault.vaultapi.client import VaultApi
from zvault.vaultapi.errors import (
    VaultAddressError,
    VaultAnswerError,
    VaultNotFoundError,
    VaultPermissionError,
    VaultRefusedError,
    VaultSealedError,
    VaultTlsError,
    VaultUninitializedError,
    VaultUnreachableError,
)


class Fixed(http.server.BaseHTTPRequestHandler):
    """Answers everything alike and counts."""

    status = 200
    body = b"{}"
    headers_out: tuple[tuple[str, str], ...] = ()
    seen: list[str]

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append(self.path)
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.body)))
        for name, value in self.headers_out:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_PUT = do_POST = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(
    status: int, body: bytes = b"{}", context: ssl.SSLContext | None = None, **headers: str
) -> Iterator[tuple[int, list[str]]]:
    seen: list[str] = []
    fields = {"status": status, "body": body, "seen": seen, "headers_out": tuple(headers.items())}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Fixed1", (Fixed,), fields))
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1], seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


ERRORS = b'{"errors":["because I say so"]}'


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, VaultRefusedError),
        (403, VaultPermissionError),
        (404, VaultNotFoundError),
        (500, VaultAnswerError),
        (501, VaultUninitializedError),
        (503, VaultSealedError),
        (418, VaultAnswerError),
    ],
)
def test_every_status_has_its_error_with_the_servers_reason_and_one_request(
    status: int, error: type[ZvaultError]
) -> None:
    with answering(status, ERRORS) as (port, seen):
        api = VaultApi(f"http://127.0.0.1:{port}", token=Secret("s.token"))
        with pytest.raises(error) as raised:
            api.lookup_self()
        api.close()
    assert len(seen) == 1
    assert raised.value.hint
    assert "s.token" not in raised.value.message
    if status not in (501,):
        assert "because I say so" in raised.value.message


@pytest.mark.parametrize("body", [b"", b"hello", b"[]", b"{}", b'{"sealed": "no"}', b"\xff\xfe"])
def test_a_page_that_is_no_vault_is_not_believed(body: bytes) -> None:
    with answering(200, body) as (port, _):
        api = VaultApi(f"http://127.0.0.1:{port}")
        with pytest.raises(VaultAnswerError):
            api.seal_status()
        with pytest.raises(VaultAnswerError):
            api.health()
        api.close()


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("body", [b"[]", b'{"errors": 1}', b'{"errors": [1]}', b"{", b"\xff"])
def test_an_error_body_of_another_form_is_still_one_of_our_errors(status: int, body: bytes) -> None:
    with answering(status, body) as (port, _):
        api = VaultApi(f"http://127.0.0.1:{port}")
        with pytest.raises(ZvaultError):
            api.submit_share(Secret(bytes(33)))
        api.close()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with answering(200, b"{}") as (other, other_seen):
        location = f"http://127.0.0.1:{other}/v1/sys/unseal"
        with answering(status, b"", Location=location) as (port, _):
            api = VaultApi(f"http://127.0.0.1:{port}")
            with pytest.raises(VaultAnswerError, match="elsewhere"):
                api.submit_share(Secret(bytes(33)))
            api.close()
    assert other_seen == []


def test_a_server_that_does_not_answer_is_unreachable_after_the_timeout() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        api = VaultApi(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.2)
        with pytest.raises(VaultUnreachableError, match="in time"):
            api.seal_status()
        api.close()


def test_plain_http_on_a_tls_port_and_tls_on_a_plain_port_are_named(tmp_path: Path) -> None:
    paths = TlsPaths.in_directory(tmp_path)
    init(paths, [], SystemClock(), name="ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paths.certificate, paths.key)
    with answering(200) as (port, _):
        api = VaultApi(f"https://127.0.0.1:{port}", ca_file=paths.ca)
        with pytest.raises((VaultTlsError, VaultUnreachableError)):
            api.seal_status()
        api.close()
    with answering(200, context=context) as (port, _):
        system = VaultApi(f"https://127.0.0.1:{port}")
        with pytest.raises(VaultTlsError, match="not trusted"):
            system.seal_status()
        system.close()
        ours = VaultApi(f"https://127.0.0.1:{port}", ca_file=paths.ca)
        with pytest.raises(VaultAnswerError):
            ours.seal_status()
        ours.close()


@pytest.mark.parametrize(
    "address",
    ["", "127.0.0.1:8200", "ftp://x", "http://", "http://u:p@h", "http://h/path", "http://h:99999"],
)
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(VaultAddressError):
        VaultApi(address)


def test_a_ca_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    for path in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(PreconditionError, match="CA file"):
            VaultApi(f"https://127.0.0.1:{free_port()}", ca_file=path)


def test_a_token_of_the_environment_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "s.environment")
    tokens: list[str | None] = []

    class Watching(Fixed):
        seen: list[str] = []  # noqa: RUF012

        def do_GET(self) -> None:
            tokens.append(self.headers.get("X-Vault-Token"))
            self._answer()

    server = http.server.HTTPServer(("127.0.0.1", 0), Watching)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    api = VaultApi(f"http://127.0.0.1:{server.server_address[1]}")
    with pytest.raises(VaultAnswerError):
        api.seal_status()
    thread.join()
    api.close()
    server.server_close()
    assert tokens == [None]
