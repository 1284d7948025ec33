"""One log line a request, for who asks for it (``log_requests_level``); off by default.

Invariant: method, path, status and time; never a query, a header or a body.
"""

import logging
import time
from collections.abc import Coroutine
from typing import Any

from zvault.server.answers import Answer
from zvault.server.logs import LEVELS
from zvault.server.protocol import Application, WireRequest

log = logging.getLogger("zvault.server.requests")


def logging_requests(application: Application, level_name: str) -> Application:
    """The application itself when ``level_name`` is ``off``, else one that also logs."""
    level = LEVELS.get(level_name)
    if level is None:
        return application

    async def logged(wire: WireRequest) -> Answer:
        started = time.monotonic()
        answer = await application(wire)
        path = wire.target.partition(b"?")[0].decode("latin-1")
        elapsed_ms = (time.monotonic() - started) * 1e3
        log.log(level, "%s %s %d %.1fms", wire.method or "?", path, answer.status, elapsed_ms)
        return answer

    def start(wire: WireRequest) -> Coroutine[Any, Any, Answer]:
        return logged(wire)

    return start
