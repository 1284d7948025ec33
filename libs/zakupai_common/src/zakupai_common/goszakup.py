"""The state's procurement service (ows.goszakup.gov.kz, version 3) as our services ask it.

What lives here: one JSON request with its token, time-outs, tries, circuit breaker, and the metric
of what went wrong. What never does: what an answer means.
Invariants: the token goes to the configured address only (no redirect is followed); a label of the
metric comes from a closed set; while the service asked us to wait, nothing is sent.
"""

import asyncio
import email.utils
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from random import Random
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry, Counter, Gauge

from zakupai_common.breaker import Breaker
from zakupai_common.secret import Secret
from zakupai_common.vault.lease import backoff_seconds


class Reason(StrEnum):
    """Why a request to goszakup failed; the label ``reason``."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    RATE_LIMITED = "rate_limited"
    UNAUTHORIZED = "unauthorized"
    REFUSED = "refused"
    """Another answer that is no success: 3xx, 4xx."""
    SERVER_ERROR = "server_error"
    GARBAGE = "garbage"
    """No JSON, too long, or not what was asked for."""


_AGAIN = frozenset({Reason.TIMEOUT, Reason.CONNECTION, Reason.SERVER_ERROR, Reason.GARBAGE})


class GoszakupError(Exception):
    """It gave no answer that can be used, after all tries. ``reason`` None: it was not asked."""

    def __init__(self, reason: Reason | None, detail: str, wait_seconds: float = 0.0) -> None:
        super().__init__(detail)
        self.reason = reason
        self.wait_seconds = wait_seconds


class NotFoundError(GoszakupError):
    """404: it answered that it has no such thing."""


class RateLimitedError(GoszakupError):
    """429, now or a moment ago; try again after ``wait_seconds``."""


class CircuitOpenError(GoszakupError):
    """It failed several times in a row and is left alone for ``wait_seconds``."""


@dataclass(frozen=True)
class Patience:
    """How long and how often; times in seconds."""

    connect_seconds: float = 2.0
    try_seconds: float = 5.0
    tries: int = 3
    first_wait_seconds: float = 0.25
    longest_wait_seconds: float = 2.0
    deadline_seconds: float = 12.0
    """Of all tries together."""
    answer_bytes: int = 8 * 1024 * 1024
    failures_to_open: int = 5
    open_seconds: float = 30.0
    rate_limit_seconds: float = 5.0
    """When a 429 does not say how long."""
    longest_rate_limit_seconds: float = 300.0


class GoszakupMetrics:
    """``goszakup_errors_total{endpoint,reason}`` and ``goszakup_circuit_open``.

    Every pair of labels is there from the start, so a 0 means that nothing went wrong.
    """

    def __init__(self, registry: CollectorRegistry, endpoints: Sequence[str]) -> None:
        self._errors = Counter(
            "goszakup_errors_total",
            "Requests to goszakup that failed, each try counted",
            ("endpoint", "reason"),
            registry=registry,
        )
        self._known = frozenset(endpoints)
        for endpoint in endpoints:
            for reason in Reason:
                self._errors.labels(endpoint, reason.value)
        self.circuit_open = Gauge(
            "goszakup_circuit_open", "1 while goszakup is left alone", registry=registry
        )

    def failed(self, endpoint: str, reason: Reason) -> None:
        """Count one. Raises LookupError for an endpoint that was not named at the start."""
        if endpoint not in self._known:
            raise LookupError(endpoint)
        self._errors.labels(endpoint, reason.value).inc()


class _TryError(Exception):
    def __init__(self, reason: Reason, wait_seconds: float = 0.0) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.wait_seconds = wait_seconds


class Goszakup:
    """One address; ``token`` is asked at every try. Made by ``goszakup_client``."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        token: Callable[[], Secret[str]],
        metrics: GoszakupMetrics,
        patience: Patience,
        clock: Callable[[], float] = time.monotonic,
        luck: Random | None = None,
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._token = token
        self._metrics = metrics
        self._patience = patience
        self._clock = clock
        self._luck = luck or Random()  # noqa: S311 - spreads load, hides nothing
        self._breaker = Breaker(patience.failures_to_open, patience.open_seconds, clock)
        self._quiet_until = 0.0
        metrics.circuit_open.set_function(lambda: float(self._breaker.is_open))

    async def get(self, endpoint: str, path: str) -> Any:
        """The JSON at ``path``; ``endpoint`` names it in the metric. Raises GoszakupError."""
        return await self._ask(endpoint, "GET", path, None)

    async def post(self, endpoint: str, path: str, content: Any) -> Any:
        """The answer to ``content``, which must be a question that may be repeated (GraphQL query).

        Raises GoszakupError.
        """
        return await self._ask(endpoint, "POST", path, content)

    def not_understood(self, endpoint: str) -> GoszakupError:
        """Count an answer whose JSON says nothing that the caller can use; the error to raise."""
        self._metrics.failed(endpoint, Reason.GARBAGE)
        return GoszakupError(Reason.GARBAGE, "goszakup's answer is not what was asked for")

    async def _ask(self, endpoint: str, method: str, path: str, content: Any) -> Any:
        wait = self._quiet_until - self._clock()
        if wait > 0:
            raise RateLimitedError(None, "goszakup asked us to wait", wait)
        if not self._breaker.admit():
            wait = self._breaker.wait_seconds()
            raise CircuitOpenError(None, "goszakup failed several times and is left alone", wait)
        try:
            answer = await self._tries(endpoint, method, path, content)
        except NotFoundError:
            self._breaker.succeeded()
            raise
        except GoszakupError as error:
            if error.reason in _AGAIN:
                self._breaker.failed()
            else:
                self._breaker.succeeded()  # it is there; it only does not want this
            raise
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        return answer

    async def _tries(self, endpoint: str, method: str, path: str, content: Any) -> Any:
        patience, began = self._patience, self._clock()
        for count in range(1, patience.tries + 1):
            left = patience.deadline_seconds - (self._clock() - began)
            try:
                async with asyncio.timeout(min(patience.try_seconds, left)):
                    return await self._try(method, path, content)
            except (_TryError, TimeoutError, aiohttp.ClientError, OSError) as error:
                failure = _failure(error)
            self._metrics.failed(endpoint, failure.reason)
            if failure.reason is Reason.RATE_LIMITED:
                self._quiet_until = self._clock() + failure.wait_seconds
                raise RateLimitedError(
                    failure.reason, "goszakup limits our requests", failure.wait_seconds
                )
            wait = backoff_seconds(
                count,
                self._luck.random(),
                first=patience.first_wait_seconds,
                longest=patience.longest_wait_seconds,
            )
            left = patience.deadline_seconds - (self._clock() - began)
            if failure.reason not in _AGAIN or count == patience.tries or wait >= left:
                break
            await asyncio.sleep(wait)
        raise GoszakupError(failure.reason, f"goszakup gives no answer: {failure.reason.value}")

    async def _try(self, method: str, path: str, content: Any) -> Any:
        async with self._session.request(
            method,
            self._url + path,
            json=content,
            headers={"Authorization": f"Bearer {self._token().reveal()}"},
            allow_redirects=False,
        ) as response:
            if response.status == 404:
                raise NotFoundError(None, "goszakup has no such thing")
            if response.status != 200:
                raise self._refusal(response)
            body = await _bounded(response, self._patience.answer_bytes)
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise _TryError(Reason.GARBAGE) from None

    def _refusal(self, response: aiohttp.ClientResponse) -> _TryError:
        if response.status == 429:
            patience = self._patience
            wait = _retry_after(response.headers.get("Retry-After", ""))
            wait = patience.rate_limit_seconds if wait is None else wait
            limited = min(max(wait, 0.0), patience.longest_rate_limit_seconds)
            return _TryError(Reason.RATE_LIMITED, limited)
        if response.status in (401, 403):
            return _TryError(Reason.UNAUTHORIZED)
        return _TryError(Reason.SERVER_ERROR if response.status >= 500 else Reason.REFUSED)


def _failure(error: Exception) -> _TryError:
    if isinstance(error, _TryError):
        return error
    if isinstance(error, TimeoutError):
        return _TryError(Reason.TIMEOUT)
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientResponseError):
        return _TryError(Reason.GARBAGE)
    return _TryError(Reason.CONNECTION)


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > limit:
            raise _TryError(Reason.GARBAGE)
    return bytes(body)


def _retry_after(text: str) -> float | None:
    """Seconds or a date (RFC 9110); None when it is neither."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()


@asynccontextmanager
async def goszakup_client(
    url: str,
    token: Callable[[], Secret[str]],
    metrics: GoszakupMetrics,
    patience: Patience | None = None,
    **more: Any,
) -> AsyncIterator[Goszakup]:
    """A client of the service at ``url`` (without ``/v3``). ``more``: ``clock``, ``luck``."""
    patience = patience or Patience()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=16),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=patience.connect_seconds),
        headers={"Accept": "application/json", "User-Agent": "zakupai"},
    ) as session:
        # On its own aiohttp sends a GET again when the connection breaks; nobody would count it.
        session._retry_connection = False
        yield Goszakup(session, url, token, metrics, patience, **more)
