"""A server that says it is unsealed, notes every request and loses idle connections on purpose."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class StubServer(ThreadingHTTPServer):
    """``executed``: method and path of every request but health checks; ``headers``: the last's."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, idle_seconds: float | None) -> None:
        handler = type("Handler", (_Handler,), {"timeout": idle_seconds})
        super().__init__(("127.0.0.1", port), handler)
        self.executed: list[str] = []
        self.headers: dict[str, str] = {}
        self.lock = threading.Lock()
        self._connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.append(connection)
        return connection, address

    def hang_up(self) -> None:
        """End every connection, as the end of a process does."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke is what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StubServer

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.path != "/v1/sys/health":
            with self.server.lock:
                self.server.executed.append(f"{self.command} {self.path}")
                self.server.headers = dict(self.headers.items())
        content = json.dumps({"got": len(body)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_LIST = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextmanager
def stub_server(
    port: int, *, idle_seconds: float | None = None, tls: tuple[Path, Path] | None = None
) -> Iterator[StubServer]:
    """Serve in threads; a connection idle for ``idle_seconds`` is closed without a word."""
    server = StubServer(port, idle_seconds)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()
