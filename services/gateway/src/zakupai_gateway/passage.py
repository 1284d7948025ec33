"""One service behind the gateway: requests go to it and answers come back, both as streams.

What lives here: the connections to one service, its breaker, what a failure is called. What never
does: who may pass (``gate.py``), a service that is not in the table.
Invariants: nothing is held but one piece of a body; a failure before the answer's head is an answer
of ours, a failure after it breaks the connection, so half an answer is never taken for a whole one;
a service that is slow or dead costs the others nothing.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

import aiohttp
from aiohttp.typedefs import LooseHeaders
from multidict import CIMultiDict
from starlette.types import Message, Receive, Scope, Send
from yarl import URL

from zakupai_common.breaker import Breaker
from zakupai_common.web.errors import ProblemError
from zakupai_gateway.headers import Places, to_client
from zakupai_gateway.leaving import Leaving, LeftError
from zakupai_gateway.table import Upstream

CONNECT_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 20.0
"""Below the 75 s after which our services close a connection that nobody uses."""
AT_ONCE = 256
FAILURES, PAUSE_SECONDS = 5, 2.0
_SMALL = 64 * 1024
"""Bodies up to this are handed on in one piece, both ways."""
_NO_AUTOMATIC = CIMultiDict[None]({"Content-Type": None})
_BODILESS = frozenset({204, 304})
Failed = Callable[[str, str], None]
"""Gets the service's name and a reason: unreachable, slow, garbage, broke, busy, open."""


@dataclass(frozen=True, slots=True)
class Onward:
    """A request as the service shall see it."""

    target: str
    headers: list[tuple[str, str]]


class _Request(aiohttp.ClientRequest):
    """One that says what it is told and nothing of itself."""

    def update_headers(self, headers: LooseHeaders | None) -> None:
        self.headers = CIMultiDict(headers or {})  # ``Host`` is among them

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        self._skip_auto_headers = _NO_AUTOMATIC


class Passage:
    """ASGI app of one service. Expects ``scope["state"]["onward"]``."""

    def __init__(
        self,
        upstream: Upstream,
        breaker: Breaker | None = None,
        failed: Failed = lambda _, __: None,
    ) -> None:
        self.upstream = upstream
        self.breaker = breaker or Breaker(FAILURES, PAUSE_SECONDS)
        self._failed = failed
        self._places = Places(
            upstream.address.encode(), upstream.prefix.encode(), b"/api/" + upstream.name.encode()
        )
        self._host = ("Host", upstream.address.partition("//")[2])
        self._inside = 0
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(
                sock_connect=CONNECT_SECONDS, sock_read=upstream.answer_seconds
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            request_class=_Request,
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._session.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._inside >= AT_ONCE:
            raise self._problem("busy", 503, "has too many requests at once", retry_after=1)
        if not self.breaker.admit():
            wait = int(self.breaker.wait_seconds()) + 1
            raise self._problem("open", 503, "failed again and again", retry_after=wait)
        self._inside += 1
        try:
            await self._exchange(scope, receive, send)
        except LeftError:
            pass  # there is nobody to answer
        finally:
            self._inside -= 1

    async def _exchange(self, scope: Scope, receive: Receive, send: Send) -> None:
        onward: Onward = scope["state"]["onward"]
        with Leaving(receive) as leaving:
            response = await self._ask(scope, onward, leaving)
            async with response:
                await self._answer(response, leaving, send)

    async def _ask(self, scope: Scope, onward: Onward, leaving: Leaving) -> aiohttp.ClientResponse:
        """The answer's head. Only this tells the breaker: who answers at all is not dead."""
        url = URL(self.upstream.address + onward.target, encoded=True)
        told = False
        try:
            response = await self._session.request(
                scope["method"],
                url,
                headers=CIMultiDict((self._host, *onward.headers)),
                data=await _body_of(scope, leaving),
                allow_redirects=False,
            )
            self.breaker.succeeded()
            told = True
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            leaving.check()
            self.breaker.failed()
            told = True
            raise self._named(error) from None
        finally:
            if not told:
                self.breaker.abandoned()
        return response

    async def _answer(
        self,
        response: aiohttp.ClientResponse,
        leaving: Leaving,
        send: Send,
    ) -> None:
        headers = to_client(response.raw_headers, self._places)
        if response.status in _BODILESS:
            headers = [pair for pair in headers if pair[0] != b"content-length"]
        start: Message = {
            "type": "http.response.start",
            "status": response.status,
            "headers": headers,
        }
        length = response.content_length
        try:
            if length is not None and length <= _SMALL:
                whole = await response.read()
                leaving.stop()
                await send(start)
                await send({"type": "http.response.body", "body": whole})
                return
            leaving.watch()
            await send(start)
            async for piece in response.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = self._named(error)
            if length is not None and length <= _SMALL:
                raise problem from None
            return  # the server sees an answer without an end and breaks the connection
        leaving.stop()
        await send({"type": "http.response.body", "body": b""})

    def _named(self, error: Exception) -> ProblemError:
        if isinstance(error, aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError):
            return self._problem("unreachable", 502, "cannot be reached")
        if isinstance(error, TimeoutError):
            return self._problem("slow", 504, "does not answer in time")
        if isinstance(error, aiohttp.ClientResponseError):
            return self._problem("garbage", 502, "does not answer in HTTP")
        return self._problem("broke", 502, "broke the connection")

    def _problem(
        self, reason: str, status: int, what: str, retry_after: int | None = None
    ) -> ProblemError:
        self._failed(self.upstream.name, reason)
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return ProblemError(
            status, f"upstream-{reason}", f"{self.upstream.name} {what}", headers=headers
        )


async def _body_of(scope: Scope, leaving: Leaving) -> bytes | AsyncIterator[bytes] | None:
    length: int | None = None
    chunked = False
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            chunked = True
    if chunked or (length is not None and length > _SMALL):
        return leaving.pieces()
    if not length:
        leaving.nothing_to_read()
        return None
    return b"".join([piece async for piece in leaving.pieces()])
