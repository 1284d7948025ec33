"""Bodies that are too large are refused while they come in, whatever their headers say.

What lives here: one ASGI middleware. What never does: a framework.
Invariant: no more than the limit of one route is ever handed on, and the answer is 413 whether the
client announced the size, lied about it or sent chunks.
"""

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zakupai_common.web.errors import ProblemError

DEFAULT_BYTES = 2 * 1024 * 1024


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
        if _announced(scope) > limit:
            await _too_large(limit).send(send)
            return
        guard = _Guard(receive, send, limit)
        try:
            await self._app(scope, guard.receive, guard.send)
        except Exception:
            # The app was cut off in the middle of a body; what it says about that is no news.
            if not guard.exceeded:
                raise
        if guard.exceeded and not guard.started:
            await _too_large(limit).send(send)


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


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        413,
        "body-too-large",
        f"the body is larger than {limit} bytes",
        headers={"Connection": "close"},
        limit_bytes=limit,
    )
