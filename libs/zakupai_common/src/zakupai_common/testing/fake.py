"""A Vault of a few hundred lines on a loopback port, for the tests of services.

What lives here: the HTTP of the fake and its controls. What never does: behaviour, which is
``fake_state``'s. Invariant: everything a client gets, it gets over a real socket.
"""

import json
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from zakupai_common.secret import Secret
from zakupai_common.testing.controls import Role
from zakupai_common.testing.fake_state import Asked, FakeRole, FakeState


class FakeVault:
    """A Vault in this process. Use it with ``with``.

    Beside the controls that every Vault under test has: ``pass_time`` ends leases without waiting,
    ``hang`` keeps requests unanswered, ``fail_with`` answers them with a status, ``requests``
    lists what was asked.
    """

    def __init__(self, *, kv_version: int = 2) -> None:
        self.state = FakeState(time.monotonic, kv_version=kv_version)
        self.kv_mount = self.state.kv_mount
        self.requests: list[tuple[str, str]] = []
        """Method and path of each request so far."""
        self._status = 0
        self._retry_after = 0
        self._lock = threading.Lock()
        self._answering = threading.Event()
        self._answering.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FakeVault":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._answering.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def root_token(self) -> Secret[str]:
        """A token that may do everything."""
        return Secret(self.state.root_token)

    # -- controls that every Vault under test has ---------------------------------------------

    def put(self, path: str, data: Mapping[str, Any]) -> None:
        with self._lock:
            self.state.kv.setdefault(path, []).append(dict(data))

    def delete(self, path: str) -> None:
        with self._lock:
            self.state.kv[path][-1] = None

    def make_role(
        self,
        name: str,
        reads: Sequence[str],
        *,
        token_seconds: int = 3600,
        token_max_seconds: int = 0,
        secret_id_seconds: int = 0,
        secret_id_uses: int = 0,
    ) -> Role:
        role_id = secrets.token_hex(16)
        with self._lock:
            self.state.roles[name] = FakeRole(
                name,
                role_id,
                tuple(reads),
                token_seconds,
                token_max_seconds,
                secret_id_seconds,
                secret_id_uses,
            )
        return Role(name, Secret(role_id))

    def allow(self, role: Role, reads: Sequence[str]) -> None:
        with self._lock:
            self.state.roles[role.name].reads = tuple(reads)

    def make_secret_id(self, role: Role) -> Secret[str]:
        return Secret(self._as_root(role, "secret-id")["data"]["secret_id"])

    def wrap_secret_id(self, role: Role) -> Secret[str]:
        return Secret(self._as_root(role, "secret-id", wrap=True)["wrap_info"]["token"])

    def unwrap(self, wrapping_token: Secret[str]) -> None:
        with self._lock:
            del self.state.wrapped[wrapping_token.reveal()]

    def destroy_secret_ids(self, role: Role) -> None:
        with self._lock:
            known = self.state.secret_ids
            for text in [t for t, one in known.items() if one.role.name == role.name]:
                del known[text]

    def revoke_tokens(self, role: Role) -> None:
        with self._lock:
            for text in self._tokens_of(role):
                del self.state.tokens[text]

    def live_tokens(self, role: Role) -> int:
        with self._lock:
            return len(self._tokens_of(role))

    def seal(self) -> None:
        self.state.sealed = True

    def unseal(self) -> None:
        self.state.sealed = False

    # -- controls of the fake alone -----------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Let the server's clock run ahead: leases and secret_ids end."""
        with self._lock:
            self.state.ahead += seconds

    def hang(self) -> None:
        """Take requests and do not answer them."""
        self._answering.clear()

    def go_on(self) -> None:
        """Answer again, also what waits."""
        self._answering.set()
        self._status = 0

    def fail_with(self, status: int, retry_after: int = 0) -> None:
        """Answer everything with this status until ``go_on``."""
        self._status, self._retry_after = status, retry_after

    # -- inside -------------------------------------------------------------------------------

    def _as_root(self, role: Role, path: str, *, wrap: bool = False) -> Any:
        asked = Asked(
            "POST", f"auth/approle/role/{role.name}/{path}", self.state.root_token, {}, wrap
        )
        with self._lock:
            return self.state.answer(asked)[1]

    def _tokens_of(self, role: Role) -> list[str]:
        state = self.state
        return [
            text
            for text, token in state.tokens.items()
            if token.role and token.role.name == role.name and token.ends_at > state.now
        ]

    def respond(self, asked: Asked) -> tuple[int, dict[str, Any] | None, int]:
        """Status, body and Retry-After (0: none) for one request."""
        with self._lock:
            self.requests.append((asked.method, asked.path))
        self._answering.wait()
        if self._status:
            return self._status, {"errors": ["the fake was told to fail"]}, self._retry_after
        with self._lock:
            return *self.state.answer(asked), 0


def _handler_of(vault: FakeVault) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                body = json.loads(raw or b"{}")
            except ValueError:
                body = None
            asked = Asked(
                self.command,
                self.path.partition("?")[0].removeprefix("/v1/"),
                self.headers.get("X-Vault-Token") or "",
                body if isinstance(body, dict) else {},
                "X-Vault-Wrap-TTL" in self.headers,
            )
            status, answer, retry_after = vault.respond(asked)
            content = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            if retry_after:
                self.send_header("Retry-After", str(retry_after))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_LIST = _handle  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Tests print enough."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                return  # the client gave up

    return Handler
