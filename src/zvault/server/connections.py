"""All connections of a server: one clock, one sweep, one way to end.

What lives here: the set of open connections, the coarse clock their deadlines are on, the end of
an event-loop turn, the end of serving. What never does: bytes.
Invariants: a sweep looks at every deadline once a second, no connection has a timer of its own;
connections that hold answers are let go once a turn, after everything that was ready has been read,
so that the records which these answers wait for are one write.
"""

import asyncio
import logging
from typing import Protocol

from zvault.server.failures import describe

log = logging.getLogger("zvault.server.http")
SWEEP_SECONDS = 1.0


class Connection(Protocol):
    """What the set needs of a connection."""

    deadline: float

    @property
    def is_executing(self) -> bool: ...

    def close_when_idle(self) -> None: ...

    def expire(self) -> None: ...

    def release(self) -> None: ...

    def abort(self) -> None: ...


class Connections:
    """The open connections of one server, over all its listeners."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self.executing = 0
        """Requests that wait for something right now."""
        self.draining = False
        """Set when the end has begun: every answer is the last one of its connection."""
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time()
        self._holding: list[Connection] = []

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        self._open.add(connection)

    def discard(self, connection: Connection) -> None:
        self._open.discard(connection)

    def hold(self, connection: Connection) -> None:
        """Call the connection's ``release`` at the end of this turn; once a turn is enough."""
        if not self._holding:
            self._loop.call_soon(self._end_turn)
        self._holding.append(connection)

    def _end_turn(self) -> None:
        holding, self._holding = self._holding, []
        for connection in holding:
            try:
                connection.release()
            except Exception as error:  # the others' answers are due all the same
                log.error("internal error: %s", describe(error))
                connection.abort()

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
