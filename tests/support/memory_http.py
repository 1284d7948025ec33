"""A connection without a socket: bytes go in by hand, what was written is kept."""

import asyncio
from collections.abc import Callable

from tests.support.fake_core import FakeCore
from zvault.server.answers import Renderer
from zvault.server.app import App, ListenerPolicy
from zvault.server.connections import Connections
from zvault.server.protocol import HttpProtocol, Limits
from zvault.server.request_id import RequestIds


class MemoryTransport(asyncio.Transport):
    """Keeps what was written; ``paused`` and ``closed`` tell what was asked of it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 40_000)})
        self.written = bytearray()
        self.closed = False
        self.paused = False
        self.half_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


def constant_bytes(size: int) -> bytes:
    return bytes(size)


class MemoryConnection:
    """One connection to a FakeCore. Make it inside a running loop."""

    def __init__(
        self,
        core: FakeCore | None = None,
        *,
        limits: Limits | None = None,
        policy: ListenerPolicy | None = None,
        random_bytes: Callable[[int], bytes] = constant_bytes,
    ) -> None:
        self.core = core or FakeCore()
        self.connections = Connections()
        self.transport = MemoryTransport()
        app = App(self.core, self.connections, RequestIds(random_bytes), policy or ListenerPolicy())
        self.protocol = HttpProtocol(app, self.connections, Renderer(), limits or Limits())
        self.protocol.connection_made(self.transport)

    def feed(self, data: bytes) -> None:
        """Bytes from the client, as one read; dropped after a close, as the kernel would."""
        if not self.transport.closed:
            self.protocol.data_received(data)

    @property
    def sent(self) -> bytes:
        return bytes(self.transport.written)

    @property
    def over(self) -> bool:
        """The server has said that no more comes."""
        return self.transport.closed or self.transport.half_closed

    def statuses(self) -> list[int]:
        """The status of every answer so far, in order; checks that nothing stands between them."""
        return [status for status, _ in self.answers()]

    def answers(self) -> list[tuple[int, bytes]]:
        """Status and body of every answer so far. Fails on bytes that belong to no answer."""
        found = []
        rest = self.sent
        while rest:
            head, separator, rest = rest.partition(b"\r\n\r\n")
            assert separator, f"an answer without end: {head!r}"
            lines = head.split(b"\r\n")
            assert lines[0].startswith(b"HTTP/1.1 "), lines[0]
            headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
            length = int(headers.get(b"content-length", b"0"))
            found.append((int(lines[0].split(b" ")[1]), rest[:length]))
            rest = rest[length:]
        return found
