"""All connections of a server: one clock, one sweep, one way to end.

What lives here: the set of open connections, the coarse clock their deadlines are on, the end of
serving. What never does: bytes.
Invariant: a sweep looks at every deadline once a second; no connection has a timer of its own.
"""

import asyncio
from typing import Protocol

SWEEP_SECONDS = 1.0


class Connection(Protocol):
    """What the set needs of a connection."""

    deadline: float

    @property
    def is_executing(self) -> bool: ...

    def close_when_idle(self) -> None: ...

    def expire(self) -> None: ...

    def abort(self) -> None: ...


class Connections:
    """The open connections of one server, over all its listeners."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self.executing = 0
        """Requests that wait for something right now."""
        self.draining = False
        """Set when the end has begun: every answer is the last one of its connection."""
        self.now = asyncio.get_running_loop().time()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        self._open.add(connection)

    def discard(self, connection: Connection) -> None:
        self._open.discard(connection)

    def sweep(self, now: float) -> None:
        """Move the clock on and end what is late. ``now`` is the loop's time in seconds."""
        self.now = now
        for connection in [c for c in self._open if c.deadline < now]:
            connection.expire()

    async def finish(self, patience_seconds: float, reading_seconds: float = 2.0) -> int:
        """Close idle connections, let the others answer; abort what is left after patience.

        A request that is still being sent gets ``reading_seconds`` to arrive whole. Returns how
        many requests were cut off while executing (0 is the good answer).
        """
        self.draining = True
        loop = asyncio.get_running_loop()
        start = loop.time()
        while self._open or self.executing:
            for connection in list(self._open):
                connection.close_when_idle()
            waited = loop.time() - start
            if waited >= reading_seconds:
                for connection in [c for c in self._open if not c.is_executing]:
                    connection.abort()
            if waited >= patience_seconds:
                break
            await asyncio.sleep(0.005)
        cut_off = self.executing
        for connection in list(self._open):
            connection.abort()
        return cut_off
