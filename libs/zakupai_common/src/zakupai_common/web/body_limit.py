"""Bodies that are too large are refused while they come in, whatever their headers say.

What lives here: one ASGI middleware. What never does: a framework.
Invariant: no more than the limit of one route is ever handed on, and the answer is 413 whether the
client announced the size, lied about it or sent chunks.
"""

import asyncio
import contextlib
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zakupai_common.web.errors import ProblemError

DEFAULT_BYTES = 2 * 1024 * 1024
_BODIES_ANNOUNCED = frozenset({"1.0", "1.1"})
"""Versions of HTTP in which a request without length and transfer-encoding has no body."""
LINGER_BYTES, LINGER_SECONDS = 16 * 1024 * 1024, 5.0
"""How much of a refused body is still taken from its client, and thrown away."""


class BodyLimit:
    """``paths``: limits of their own for exact paths; every other path has ``default_bytes``."""

    def __init__(
        self,
        app: ASGIApp,
        default_bytes: int = DEFAULT_BYTES,
        paths: Mapping[str, int] | None = None,
    ) -> None:
        self._app = app
        self._default = default_bytes
        self._paths = dict(paths or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._paths.get(scope["path"], self._default)
        announced = _announced(scope)
        if announced is None:
            await self._app(scope, receive, send)
            return
        if announced > limit:
            await _refuse(limit, receive, send)
            return
        guard = _Guard(receive, send, limit)
        try:
            await self._app(scope, guard.receive, guard.send)
        except Exception:
            # The app was cut off in the middle of a body; what it says about that is no news.
            if not guard.exceeded:
                raise
        if guard.exceeded and not guard.started:
            await _refuse(limit, receive, send)


class _Guard:
    """Counts one body. Once it is too large the app sees a client that went away."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive = receive
        self._send = send
        self._left = limit
        self.exceeded = False
        self.started = False

    async def receive(self) -> Message:
        if self.exceeded:
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self.exceeded = True
                return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        if self.exceeded and not self.started:
            return
        self.started = True
        await self._send(message)


async def _refuse(limit: int, receive: Receive, send: Send) -> None:
    """Answer, then read on for a while and keep nothing.

    Closing at once would reset the connection, and a client that still sends would lose the answer.
    """

    async def send_all_but_the_end(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "more_body": True}
        await send(message)

    await _too_large(limit).send(send_all_but_the_end)
    left = LINGER_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    break
                left -= len(message.get("body", b""))
    await send({"type": "http.response.body", "body": b""})


def _announced(scope: Scope) -> int | None:
    """The bytes that the headers speak of, 0 when not of how many; None: there is no body."""
    announced = None if scope.get("http_version") in _BODIES_ANNOUNCED else 0
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
        if name == b"transfer-encoding":
            announced = 0
    return announced


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        413,
        "body-too-large",
        f"the body is larger than {limit} bytes",
        headers={"Connection": "close"},
        limit_bytes=limit,
    )
