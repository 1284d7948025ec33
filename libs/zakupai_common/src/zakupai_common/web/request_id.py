"""The id that follows a request through every service and log line.

What lives here: the middleware that takes it from ``X-Request-Id`` or makes one, and the place
where logs find it. What never does: a framework.
Invariant: an id is 8 to 64 letters, digits, ``.``, ``_`` or ``-``; anything else a client sends is
replaced, so an id cannot break a log line or a header.
"""

import re
from contextvars import ContextVar
from random import getrandbits

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-Id"
_RAW_HEADER = HEADER.lower().encode()
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_current: ContextVar[str] = ContextVar("zakupai_request_id", default="")


def current_request_id() -> str:
    """The id of the request that this task answers; "" outside of one."""
    return _current.get()


class RequestId:
    """ASGI middleware: sets the id for the task, for ``scope["state"]`` and in the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _told(scope) or _new()
        scope.setdefault("state", {})["request_id"] = request_id
        raw = request_id.encode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [pair for pair in message.get("headers", []) if pair[0] != _RAW_HEADER]
                message = {**message, "headers": [*headers, (_RAW_HEADER, raw)]}
            await send(message)

        token = _current.set(request_id)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            _current.reset(token)


def _new() -> str:
    return f"{getrandbits(128):032x}"  # a name, no secret: uuid4 asks the kernel each time


def _told(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == _RAW_HEADER and _WELL_FORMED.fullmatch(value):
            return str(value.decode())
    return ""
