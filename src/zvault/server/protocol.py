"""One connection: bytes in, answers out, in order.

What lives here: framing, back-pressure, deadlines, the end of a connection. What never does: what a
request means (``server/app.py``).
Invariants: answers leave in the order of the requests; a request that was not read whole is not
executed; one that was begun is answered before the connection closes; nothing of one request is
seen by the next.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from zvault.server import driving
from zvault.server.answers import CONTINUE, Answer, Renderer
from zvault.server.connections import Connections
from zvault.server.wire import (
    MAX_HEAD_BYTES,
    ChunkedBody,
    Head,
    RefusedRequestError,
    read_headers,
    read_request_line,
)

log = logging.getLogger("zvault.server.http")
MAX_HELD_BYTES = 2 * MAX_HEAD_BYTES
"""Bytes of later requests that a connection keeps while an answer is due; then reading pauses."""
MAX_REUSED_BLOCK_BYTES = 4_096
REQUESTS_A_TURN = 64
"""A pipelining client gives way to others after so many requests."""
LINGER_SECONDS = 2.0


@dataclass(slots=True)
class WireRequest:
    """A complete request as it came; nothing decoded yet."""

    method: str
    target: bytes
    head: Head
    body: bytes
    peer: tuple[str, int]
    tls: bool


Application = Callable[[WireRequest], Coroutine[Any, Any, Answer]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one listener; seconds and bytes."""

    max_request_bytes: int = 33_554_432
    """Negative: no limit."""
    max_request_seconds: float = 90.0
    read_header_seconds: float = 10.0
    read_seconds: float = 30.0
    idle_seconds: float = 300.0
    write_seconds: float = 60.0


class HttpProtocol(asyncio.Protocol):
    """A connection's state machine: reading head → reading body → executing → reading head …"""

    __slots__ = (
        "_application",
        "_block",
        "_body",
        "_closing",
        "_collected",
        "_connections",
        "_current",
        "_eof",
        "_head",
        "_held",
        "_limits",
        "_loop",
        "_missing",
        "_peer",
        "_reading_paused",
        "_renderer",
        "_scheduled",
        "_task",
        "_tls",
        "_transport",
        "_write_paused",
        "deadline",
    )

    def __init__(
        self,
        application: Application,
        connections: Connections,
        renderer: Renderer,
        limits: Limits,
        *,
        tls: bool = False,
    ) -> None:
        self._application = application
        self._connections = connections
        self._renderer = renderer
        self._limits = limits
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._held = bytearray()
        self._block = b""
        """The last header block with its version, and what it said: clients repeat them."""
        self._head: Head | None = None
        self._current: tuple[str, bytes, Head] | None = None
        """Method, target and head of the request whose body is being read or that executes."""
        self._body: ChunkedBody | None = None
        self._collected: bytearray | None = None
        self._missing = 0
        self._task: asyncio.Task[Answer] | None = None
        self._closing = False
        self._reading_paused = False
        self._write_paused = False
        self._scheduled = False
        self._eof = False
        self._peer = ("", 0)
        self.deadline = 0.0

    # -- the transport's calls ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._peer = (str(peer[0]), int(peer[1]))
        self._connections.add(self)
        self._set_deadline(self._limits.read_header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """What executes goes on to its end; its answer has nobody left to read it."""
        self._closing = True
        self._connections.discard(self)

    def pause_writing(self) -> None:
        self._write_paused = True
        self._pause_reading()
        self._set_deadline(self._limits.write_seconds)

    def resume_writing(self) -> None:
        self._write_paused = False
        self._next()

    def eof_received(self) -> bool:
        """A client that has said all may still read what is due to it."""
        self._eof = True
        return not self._closing and not self.is_idle and not self._tls

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if self._task is not None or self._write_paused or self._scheduled:
            self._hold(data)
            return
        try:
            if self._collected is not None or self._body is not None:
                self._take_body(data)
            elif self._held:
                self._held += data
                self._take_held()
            else:
                self._take(data)
        except RefusedRequestError as error:
            self._refuse(error)

    # -- framing -----------------------------------------------------------------------------

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > MAX_HELD_BYTES:
            self._pause_reading()

    def _take_held(self) -> None:
        if self._held.find(b"\r\n\r\n") < 0:
            self._check_partial(self._held)
            return
        data = bytes(self._held)
        self._held.clear()
        self._take(data)

    def _take(self, data: bytes) -> None:
        """Execute the complete requests in ``data``; hold what is left."""
        position, size = 0, len(data)
        for _ in range(REQUESTS_A_TURN):
            while position < size and data[position] in b"\r\n":
                position += 1  # RFC 9112 2.2: empty lines before a request line are ignored
            end = data.find(b"\r\n\r\n", position)
            if end < 0:
                self._held += data[position:]
                self._check_partial(self._held)
                return
            line_end = data.find(b"\r\n", position)
            if end + 4 - position > MAX_HEAD_BYTES:
                raise RefusedRequestError(431, "request header fields too large")
            method, target, version = read_request_line(data[position:line_end])
            head = self._read_head(version, data[line_end + 2 : end + 4])
            position = end + 4
            self._current = (method, target, head)
            if head.content_length or head.chunked:
                position = self._begin_body(data, position)
                if position < 0:
                    return
            else:
                self._execute(b"")
            if self._closing:
                return
            if self._task is not None or self._write_paused:
                if position < size:
                    self._hold(data[position:])
                return
            if position == size:
                return
        self._hold(data[position:])
        self._scheduled = True
        self._loop.call_soon(self._next_turn)

    def _read_head(self, version: bytes, block: bytes) -> Head:
        key = version + block
        if key == self._block and self._head is not None:
            return self._head
        head = read_headers(version, block)
        if len(key) <= MAX_REUSED_BLOCK_BYTES:
            self._block, self._head = key, head
        return head

    def _check_partial(self, held: bytearray) -> None:
        """Refuse early what can never become a request; start the header clock."""
        if held:
            first_line_end = held.find(b"\n")
            if first_line_end == 0 or (first_line_end > 0 and held[first_line_end - 1] != 0x0D):
                raise RefusedRequestError(400, "bare line feed")
            if not 0x21 <= held[0] < 0x7F and held[0] != 0x0D:
                raise RefusedRequestError(400, "not HTTP")
            if len(held) > MAX_HEAD_BYTES:
                raise RefusedRequestError(431, "request header fields too large")
            if self.deadline > self._connections.now + self._limits.read_header_seconds:
                self._set_deadline(self._limits.read_header_seconds)

    def _begin_body(self, data: bytes, position: int) -> int:
        """Where the next request begins in ``data``, or -1 when the body is not all there."""
        assert self._current is not None
        head = self._current[2]
        limit = self._limits.max_request_bytes
        if head.chunked:
            self._body = ChunkedBody(limit)
            rest = self._body.feed(data[position:])
            if rest is None:
                self._await_body(head, len(data) - position)
                return -1
            body, self._body = bytes(self._body.body), None
            self._execute(body)
            return len(data) - len(rest)
        length = head.content_length
        if 0 <= limit < length:
            raise RefusedRequestError(413, "http: request body too large")
        end = position + length
        if end <= len(data):
            self._execute(data[position:end])
            return end
        self._collected = bytearray(data[position:])
        self._missing = end - len(data)
        self._await_body(head, len(data) - position)
        return -1

    def _await_body(self, head: Head, received: int) -> None:
        self._set_deadline(self._limits.read_seconds)
        if head.expects_continue and not received:
            self._transport.write(CONTINUE)

    def _take_body(self, data: bytes) -> None:
        if self._body is not None:
            rest = self._body.feed(data)
            if rest is None:
                return
            body, self._body = bytes(self._body.body), None
        else:
            assert self._collected is not None
            if len(data) < self._missing:
                self._collected += data
                self._missing -= len(data)
                return
            body = bytes(self._collected + data[: self._missing])
            rest = data[self._missing :]
            self._collected = None
        self._execute(body)
        if self._closing:
            return
        if rest:
            self._held += rest
        self._next()

    # -- executing ---------------------------------------------------------------------------

    def _execute(self, body: bytes) -> None:
        """Start the request; its answer is written here when it did not have to wait."""
        assert self._current is not None
        method, target, head = self._current
        request = WireRequest(method, target, head, body, self._peer, self._tls)
        try:
            outcome = driving.start(self._application(request), self._loop)
        except Exception as error:
            self._answer(_crash(error))
            return
        if isinstance(outcome, asyncio.Task):
            self._task = outcome
            self._set_deadline(self._limits.max_request_seconds)
            self._connections.executing += 1
            outcome.add_done_callback(self._finished)
        else:
            self._answer(outcome.value)

    def _finished(self, task: asyncio.Task[Answer]) -> None:
        self._connections.executing -= 1
        error = None if task.cancelled() else task.exception()
        if self._task is not task:
            return  # it was answered "too late" meanwhile
        self._task = None
        if task.cancelled():
            self._answer(Answer(503, b'{"errors":["request cancelled"]}\n', close=True))
        elif error is not None:
            self._answer(_crash(error))
        else:
            self._answer(task.result())
        if not self._closing:
            self._next()

    def _answer(self, answer: Answer) -> None:
        assert self._current is not None
        method, _, head = self._current
        self._current = None
        if self._transport.is_closing():
            return
        last = answer.close or not head.keep_alive or self._connections.draining
        self._set_deadline(self._limits.idle_seconds)
        self._transport.write(
            self._renderer.render(
                answer,
                head_only=method == "HEAD",
                last=last,
                keep_alive_10=not last and self._block.startswith(b"HTTP/1.0"),
            )
        )
        if last:
            self._close(linger=answer.close)

    def _refuse(self, error: RefusedRequestError) -> None:
        """Answer what could not be read as a request, then end: what follows cannot be trusted."""
        text = error.message.replace('"', "'").encode("ascii", "replace")
        self._held.clear()
        self._body = self._collected = self._current = None
        self._transport.write(
            self._renderer.render(
                Answer(error.status, b'{"errors":["%b"]}\n' % text),
                head_only=False,
                last=True,
                keep_alive_10=False,
            )
        )
        self._close(linger=True)

    # -- what comes next ---------------------------------------------------------------------

    def _next_turn(self) -> None:
        self._scheduled = False
        if not self._closing:
            self._next()

    def _next(self) -> None:
        """Go on with what is held, and read again."""
        if self._closing or self._task is not None or self._write_paused or self._scheduled:
            return
        if self._held and self._collected is None and self._body is None:
            try:
                self._take_held()
            except RefusedRequestError as error:
                self._refuse(error)
                return
        elif self._collected is None and self._body is None:
            self._set_deadline(self._limits.idle_seconds)
        if self._eof and self._task is None and not self._write_paused and not self._scheduled:
            self._close(linger=False)  # no more will come, so what is incomplete stays so
        busy = self._task is not None or self._write_paused or self._scheduled
        if self._reading_paused and not self._closing and not busy:
            self._reading_paused = False
            self._transport.resume_reading()

    def _set_deadline(self, seconds: float) -> None:
        self.deadline = self._connections.now + seconds

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._closing:
            self._reading_paused = True
            self._transport.pause_reading()

    # -- the end -----------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Between requests: nothing read that is not answered."""
        return self._task is None and self._current is None and not self._held

    @property
    def is_executing(self) -> bool:
        return self._task is not None

    def close_when_idle(self) -> None:
        """Shutdown: an idle connection ends now and unread; another after its answer."""
        if self.is_idle:
            self._close(linger=False)

    def abort(self) -> None:
        """End without a word."""
        self._closing = True
        self._transport.abort()

    def expire(self) -> None:
        """The deadline has passed: answer if an answer is due, and end."""
        if self._task is not None and not self._closing:
            task, self._task = self._task, None
            log.warning("a request took longer than max_request_duration; it goes on unanswered")
            del task  # never cancelled: a write is finished or fails by itself
            self._answer(Answer(500, b'{"errors":["context deadline exceeded"]}\n', close=True))
            return
        self.abort()

    def _close(self, *, linger: bool) -> None:
        """Close after what is written. Lingering reads on for a moment and drops it, because a
        close with unread bytes resets the connection and the answer would be lost with it."""
        self._closing = True
        if not linger or self._transport.is_closing():
            self._transport.close()
            return
        self.deadline = self._connections.now + LINGER_SECONDS
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._loop.call_later(LINGER_SECONDS, self._transport.close)


def _crash(error: BaseException) -> Answer:
    """A bug, not a refusal. Its text may hold anything, so only its kind and place are logged."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    place = " <- ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
    log.error("internal error: %s at %s", type(error).__name__, place or "?")
    return Answer(500, b'{"errors":["internal error"]}\n')
