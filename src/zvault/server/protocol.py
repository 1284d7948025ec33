"""One connection: bytes in, answers out, in order.

What lives here: when a request is executed, back-pressure, deadlines, the end of a connection. What
never does: where a request ends (``reader``), what it means (``app``).
Invariants: answers leave in the order of the requests and after their audit records; a request that
was not read whole is not executed; one that was begun is answered before the connection closes;
nothing of one request is seen by the next.
"""

import asyncio
import fcntl
import logging
import sys
import termios
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, cast

from zvault.base.errors import ZvaultError
from zvault.server import driving
from zvault.server.answers import CONTINUE, Answer, Renderer
from zvault.server.connections import Connections
from zvault.server.errors import answer_of, error_answer
from zvault.server.failures import describe
from zvault.server.reader import Message, MessageReader
from zvault.server.wire import MAX_HEAD_BYTES, Head, RefusedRequestError

log = logging.getLogger("zvault.server.http")
MAX_HELD_BYTES = 2 * MAX_HEAD_BYTES
"""Bytes of later requests that a connection keeps while an answer is due; then reading pauses."""
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


class _Phase(Enum):
    """What the deadline of a connection is for."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    OTHER = auto()


class HttpProtocol(asyncio.Protocol):
    """A connection's state machine: reading → executing → reading …"""

    __slots__ = (
        "_application",
        "_closing",
        "_connections",
        "_current",
        "_emptied",
        "_ending",
        "_eof",
        "_held",
        "_limits",
        "_loop",
        "_peer",
        "_phase",
        "_reader",
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
        self._reader = MessageReader(limits.max_request_bytes)
        self._current: WireRequest | None = None
        """The request that executes."""
        self._task: asyncio.Task[Answer] | None = None
        self._phase = _Phase.HEAD
        self._closing = False
        self._reading_paused = False
        self._write_paused = False
        self._scheduled = False
        self._held: list[tuple[Answer, bool, bool, bool]] = []
        """Answers that leave at the end of this turn, with what ``_send`` wants to know."""
        self._ending = False
        """The last answer of this connection is given, if not sent."""
        self._eof = False
        self._emptied = False
        self._peer = ("", 0)
        self.deadline = 0.0

    # -- the transport's calls ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._peer = (str(peer[0]), int(peer[1]))
        self._connections.add(self)
        self._set_deadline(_Phase.HEAD, self._limits.read_header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """What executes goes on to its end; its answer has nobody left to read it."""
        self._closing = True
        self._connections.discard(self)

    def pause_writing(self) -> None:
        self._write_paused = True
        self._pause_reading()
        self._set_deadline(_Phase.OTHER, self._limits.write_seconds)

    def resume_writing(self) -> None:
        self._write_paused = False
        self._set_deadline(_Phase.IDLE, self._limits.idle_seconds)
        self._go_on()

    def eof_received(self) -> bool:
        """A client that has said all may still read what is due to it."""
        self._eof = True
        if self._held:
            self.release()  # a TLS transport ends when this returns
        return not self._closing and not self.is_idle and not self._tls

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._reader.feed(data)
        if not self._is_busy:
            self._run()
        elif self._reader.held > MAX_HELD_BYTES:
            self._pause_reading()

    # -- executing ---------------------------------------------------------------------------

    @property
    def _is_waiting(self) -> bool:
        """For the engine, or for the client to read; or nothing more is to be executed."""
        return self._task is not None or self._write_paused or self._ending

    @property
    def _is_busy(self) -> bool:
        return self._is_waiting or self._scheduled or bool(self._held)

    def _run(self) -> None:
        """Execute what is there, in order, until one has to wait."""
        try:
            for _ in range(REQUESTS_A_TURN):
                message = self._reader.next()
                if message is None:
                    self._wait_for_more()
                    return
                self._execute(message)
                if self._reader.is_empty or self._closing or self._is_waiting:
                    return
        except RefusedRequestError as error:
            self._refuse(error)
            return
        self._scheduled = True
        self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._scheduled = False
        self._go_on()

    def _go_on(self) -> None:
        """After a wait: the next requests, then reading again."""
        if self._closing or self._is_busy:
            return
        self._run()
        if self._closing or self._is_busy:
            return
        if self._eof:
            self._close(linger=False)  # no more will come, so what is incomplete stays so
        elif self._reading_paused and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    def _wait_for_more(self) -> None:
        """Something of a request is there and not all of it: its clock runs from the first byte."""
        if self._reader.is_in_body:
            if self._phase is not _Phase.BODY:
                self._set_deadline(_Phase.BODY, self._limits.read_seconds)
            if not self._held and self._reader.take_continue():
                self._transport.write(CONTINUE)
        elif self._phase is not _Phase.HEAD and not self._reader.is_empty:
            self._set_deadline(_Phase.HEAD, self._limits.read_header_seconds)

    def _execute(self, message: Message) -> None:
        """Start the request; its answer is written here when it did not have to wait."""
        method, target, head, body = message
        request = WireRequest(method, target, head, body, self._peer)
        self._current = request
        try:
            outcome = driving.start(self._application(request), self._loop)
        except Exception as error:
            self._answer(_crash(error))
            return
        if type(outcome) is driving.Finished:
            self._answer(outcome.value)
            return
        assert isinstance(outcome, asyncio.Task)
        self._task = outcome
        self._set_deadline(_Phase.OTHER, self._limits.max_request_seconds)
        self._connections.executing += 1
        outcome.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Answer]) -> None:
        self._connections.executing -= 1
        error = None if task.cancelled() else task.exception()
        if self._task is not task:  # it was answered "too late" meanwhile
            if error is None and not task.cancelled():
                _record(task.result())
            return
        self._task = None
        if task.cancelled():
            self._answer(Answer(503, b'{"errors":["request cancelled"]}\n', close=True))
        elif error is not None:
            self._answer(_crash(error))
        else:
            self._answer(task.result())
        self._go_on()

    def _answer(self, answer: Answer) -> None:
        request, self._current = self._current, None
        assert request is not None
        self._phase = _Phase.IDLE  # so long that the sweep's clock is exact enough
        self.deadline = self._connections.now + self._limits.idle_seconds
        head = request.head
        last = answer.close or not head.keep_alive or self._connections.draining
        self._leave(answer, request.method == "HEAD", last, head.is_1_0 and not last)

    def _refuse(self, error: RefusedRequestError) -> None:
        """Answer what could not be read as a request, then end: what follows cannot be trusted."""
        self._reader.clear()
        answer = error_answer(error.status, error.message)
        answer.close = True
        self._leave(answer, False, True, False)

    def _leave(self, answer: Answer, head_only: bool, last: bool, keep_alive_10: bool) -> None:
        """Send now, or hold back what waits for its record, or stands behind such an answer."""
        self._ending = last
        held = self._held
        if held:
            held.append((answer, head_only, last, keep_alive_10))
        elif answer.owed is None:
            self._send(answer, head_only, last, keep_alive_10)
        else:
            held.append((answer, head_only, last, keep_alive_10))
            self._connections.hold(self)

    def release(self) -> None:
        """The turn is over: the records get written, then the answers leave."""
        held, self._held = self._held, []
        for answer, head_only, last, keep_alive_10 in held:
            self._send(_record(answer), head_only, last, keep_alive_10)
        if self._eof or self._reading_paused or not self._reader.is_empty:
            self._go_on()

    def _send(self, answer: Answer, head_only: bool, last: bool, keep_alive_10: bool) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(self._renderer.render(answer, head_only, last, keep_alive_10))
        if last:
            self._close(linger=answer.close)

    def _set_deadline(self, phase: _Phase, seconds: float) -> None:
        self._phase = phase
        self.deadline = self._loop.time() + seconds  # the sweep's clock may be old: too early

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._closing and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    # -- the end -----------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Between requests: nothing read that is not answered."""
        return self._task is None and not self._held and self._reader.is_empty

    @property
    def is_executing(self) -> bool:
        return self._task is not None

    def close_when_idle(self) -> None:
        """Shutdown: an idle connection ends now and unread; another after its answer.

        Called again and again until it has ended. A TLS peer that says nothing would keep it open,
        because its close_notify is waited for: once all we have to say is sent, it is not.
        """
        if not self.is_idle:
            return
        if not self._transport.is_closing():
            self._close(linger=False)
        elif self._tls and self._transport.get_write_buffer_size() == 0:
            if self._emptied:
                self.abort()
            self._emptied = self._kernel_queue_is_empty()

    def _kernel_queue_is_empty(self) -> bool:
        """Whether the peer has acknowledged all that the kernel was given.

        What lies between TLS and the kernel cannot be asked for; an empty queue takes it whole in
        the loop's next turn, so one turn later nothing is left there.
        """
        socket = self._transport.get_extra_info("socket")
        if socket is None or socket.fileno() < 0:
            return False
        size = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")  # tcp(7): SIOCOUTQ
        return int.from_bytes(size, sys.byteorder) == 0

    def abort(self) -> None:
        """End without a word."""
        self._closing = True
        self._transport.abort()

    def expire(self) -> None:
        """The deadline has passed: answer if an answer is due, and end."""
        if self._task is None or self._closing:
            self.abort()
            return
        # Never cancelled: a write is finished or fails by itself; its outcome is dropped.
        self._task = None
        log.warning("a request took longer than max_request_duration; it goes on unanswered")
        self._answer(Answer(500, b'{"errors":["context deadline exceeded"]}\n', close=True))

    def _close(self, *, linger: bool) -> None:
        """Close after what is written. Lingering reads on for a moment and drops it, because a
        close with unread bytes resets the connection and the answer would be lost with it."""
        self._closing = True
        if not linger or self._transport.is_closing():
            self._transport.close()
            return
        self._set_deadline(_Phase.OTHER, LINGER_SECONDS)
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._loop.call_later(LINGER_SECONDS, self._transport.close)


def _record(answer: Answer) -> Answer:
    """The answer once its record is written, or what is said when that cannot be done."""
    if answer.owed is not None:
        try:
            answer.owed.settle()
        except ZvaultError as error:
            return answer_of(error)
    return answer


def _crash(error: BaseException) -> Answer:
    """A bug, not a refusal."""
    log.error("internal error: %s", describe(error))
    return Answer(500, b'{"errors":["internal error"]}\n')
