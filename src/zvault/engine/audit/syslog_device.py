"""An audit device that is the machine's syslog.

What lives here: one message a line, as RFC 3164 has it, to the local socket. What never does: what
a line says; syslog elsewhere (the local one forwards).
Invariant: what the local syslog did not take is an error, never dropped.
"""

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from zvault.engine.audit.device import AuditWriteError
from zvault.engine.audit.options import FACILITIES, SyslogOptions

PLACES = ("/dev/log", "/var/run/syslog", "/var/run/log")
_INFO = 6
_TIMEOUT_SECONDS = 2.0


class SyslogDevice:
    """Writes lines to the local syslog."""

    def __init__(self, options: SyslogOptions, places: Sequence[str] = PLACES) -> None:
        self._options = options
        self._places = places
        self._priority = FACILITIES[options.facility] * 8 + _INFO
        self._socket: socket.socket | None = None

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

    def write(self, lines: bytes) -> None:
        for line in lines.splitlines():
            try:
                self._send(line)
            except OSError:
                self.close()
                try:
                    self._send(line)
                except OSError as error:
                    raise _error(error.strerror or type(error).__name__) from None

    def _send(self, line: bytes) -> None:
        self.open()
        assert self._socket is not None
        moment = time.strftime("%b %e %H:%M:%S", time.localtime())
        head = f"<{self._priority}>{moment} {self._options.tag}[{os.getpid()}]: "
        message = head.encode() + line
        # A datagram is a message; on a stream the line feed ends one.
        is_stream = self._socket.type == socket.SOCK_STREAM
        self._socket.sendall(message + b"\n" if is_stream else message)

    def _fresh(self) -> socket.socket:
        cause = "there is no local syslog"
        for place in self._places:
            if not Path(place).exists():
                continue
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                connection = socket.socket(socket.AF_UNIX, kind)
                try:
                    connection.settimeout(_TIMEOUT_SECONDS)
                    connection.connect(place)
                except OSError as error:
                    connection.close()
                    cause = error.strerror or type(error).__name__
                    continue
                return connection
        raise _error(cause)


def _error(cause: str) -> AuditWriteError:
    return AuditWriteError(
        f"cannot write to syslog: {cause}", hint="start syslog or use a device of another type"
    )
