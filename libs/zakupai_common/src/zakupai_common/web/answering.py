"""The outermost piece of an app: it sees how every request ends.

What lives here: one ASGI middleware that times, tells its observers (log, metrics), and answers
for an exception that nobody foresaw. What never does: a framework.
Invariant: every request is told to every observer exactly once, also when its client went away.
"""

import logging
import time
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zakupai_common.web.errors import ProblemError, internal_error
from zakupai_common.web.routes import endpoint_of

Observer = Callable[[Scope, int, float], None]
"""Gets the scope, the status (0: no answer was begun) and the seconds."""
_log = logging.getLogger("zakupai.request")


class Answering:
    """ASGI middleware around everything but the request's id."""

    def __init__(self, app: ASGIApp, observers: Sequence[Observer] = ()) -> None:
        self._app = app
        self._observers = tuple(observers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_see)
        except Exception as error:
            problem = error if isinstance(error, ProblemError) else internal_error()
            if problem is not error:
                _log.exception("unforeseen error", extra={"endpoint": endpoint_of(scope)})
            if status:
                raise  # half an answer is out: the connection must break
            await problem.send(send_and_see)
        finally:
            seconds = time.perf_counter() - began
            for observer in self._observers:
                observer(scope, status, seconds)
