"""An audit device behind a socket: a collector's TCP, UDP or UNIX address.

What lives here: the connection and what happens when writing fails. What never does: what a line
says.
Invariants: a write that fails is tried once more on a new connection, whole lines again; a peer
that does not answer is not waited for at every record: for ``REST_SECONDS`` after a failure the
device fails at once (another device may take the record, or the request is refused).
Source: ``docs/formats/audit.md``.
"""

import contextlib
import socket
from collections.abc import Callable

from zvault.engine.audit.device import AuditWriteError
from zvault.engine.audit.options import SocketOptions

REST_SECONDS = 5.0


class SocketDevice:
    """Writes lines to the address that the options name."""

    def __init__(self, options: SocketOptions, now: Callable[[], float]) -> None:
        self._options = options
        self._now = now
        self._socket: socket.socket | None = None
        self._rests_until = 0.0

    def open(self) -> None:
        if self._socket is None:
            self._socket = self._fresh()

    def close(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def reopen(self) -> None:
        connection = self._fresh()
        self.close()
        self._socket = connection
        self._rests_until = 0.0

    def write(self, lines: bytes) -> None:
        if self._now() < self._rests_until:
            raise self._error("it failed a moment ago")
        try:
            try:
                self._write_once(lines)
            except OSError:
                self.close()
                self._write_once(lines)
        except OSError as error:
            self.close()
            self._rests_until = self._now() + REST_SECONDS
            raise self._error(error.strerror or type(error).__name__) from None
        except AuditWriteError:
            self._rests_until = self._now() + REST_SECONDS
            raise

    def _write_once(self, lines: bytes) -> None:
        self.open()
        connection = self._socket
        assert connection is not None
        if self._options.socket_type == "udp":
            for line in lines.splitlines(keepends=True):
                connection.send(line)
            return
        if _is_closed(connection):
            raise ConnectionResetError("the collector has closed the connection")
        connection.sendall(lines)

    def _fresh(self) -> socket.socket:
        options = self._options
        try:
            if options.socket_type == "unix":
                connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                place: object = options.address
            else:
                host, _, port = options.address.rpartition(":")
                kind = socket.SOCK_DGRAM if options.socket_type == "udp" else socket.SOCK_STREAM
                found = socket.getaddrinfo(host.strip("[]") or "127.0.0.1", int(port), type=kind)
                family, _, _, _, place = found[0]
                connection = socket.socket(family, kind)
        except OSError as error:
            raise self._error(error.strerror or type(error).__name__) from None
        try:
            connection.settimeout(options.write_timeout_seconds)
            connection.connect(place)  # type: ignore[arg-type]
        except OSError as error:
            connection.close()
            raise self._error(error.strerror or "no answer") from None
        return connection

    def _error(self, cause: str) -> AuditWriteError:
        return AuditWriteError(
            f"cannot write the audit socket {self._options.address}: {cause}",
            hint="start the collector or correct the device's address",
        )


def _is_closed(connection: socket.socket) -> bool:
    """The peer has said good-bye: what is written now would be lost without an error."""
    timeout = connection.gettimeout()
    connection.setblocking(False)
    try:
        with contextlib.suppress(BlockingIOError):
            return connection.recv(4096) == b""
        return False
    finally:
        connection.settimeout(timeout)
