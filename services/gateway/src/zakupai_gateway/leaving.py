"""A client that goes away ends what is done for it.

What lives here: reading a request's body, and watching for the client's end after it. What never
does: the service behind.
Invariant: only one part at a time reads from the client: the body first, the watch after it.
"""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType

from starlette.types import Receive

from zakupai_common.web.errors import ProblemError

WATCH_AFTER_SECONDS = 0.25
"""Most answers are there before; they are not worth a task of their own."""
BODY_SILENCE_SECONDS = 30.0
"""How long a client may send nothing while it owes a body."""


class LeftError(Exception):
    """The client is gone; there is nobody to answer."""


class Leaving:
    """Use it as a context around what shall end with the client."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read = False
        self._gone = False
        self._silent = False
        self._work: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body. Raises LeftError, ProblemError 408."""
        more = True
        while more:
            try:
                async with asyncio.timeout(BODY_SILENCE_SECONDS):
                    message = await self._receive()
            except TimeoutError:
                self._silent = True
                self.check()
            if message["type"] != "http.request":
                self._gone = True
                raise LeftError
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]
        self._read = True

    def nothing_to_read(self) -> None:
        """There is no body."""
        self._read = True

    def check(self) -> None:
        """Raises LeftError if the client is gone, ProblemError 408 if it owes its body too long."""
        if self._gone:
            raise LeftError
        if self._silent:
            close = {"Connection": "close"}
            raise ProblemError(408, "body-late", "the rest of the body did not come", headers=close)

    def watch(self) -> None:
        """From now on, at once; when the body is still being read, its reader watches."""
        self._cancel_timer()
        if self._watcher is None and self._read:
            self._watcher = asyncio.create_task(self._watch())

    def stop(self) -> None:
        """The answer is whole; what the client does now is its own affair."""
        self._cancel_timer()
        if self._watcher is not None:
            self._watcher.cancel()

    def __enter__(self) -> "Leaving":
        self._work = asyncio.current_task()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WATCH_AFTER_SECONDS, self._look_again)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if kind is asyncio.CancelledError and self._gone and self._work is not None:
            self._work.uncancel()
            raise LeftError from None

    async def _watch(self) -> None:
        if (await self._receive())["type"] == "http.disconnect" and self._work is not None:
            self._gone = True
            self._work.cancel()

    def _look_again(self) -> None:
        if self._read:
            self.watch()
        else:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(WATCH_AFTER_SECONDS, self._look_again)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
