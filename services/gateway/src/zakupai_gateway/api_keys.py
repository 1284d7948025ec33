"""API keys: billing says what they are, and is not asked about the same one all the time.

What lives here: the short memory of good keys and the requests that billing has not counted yet.
What never does: how billing is reached, what a key looks like.
Invariants: a key is believed for at most ``REMEMBERED_SECONDS`` after billing said so, and no
oftener than what it had left; a refusal is never remembered, so a new key works at once; every
request is told to billing, once.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from zakupai_gateway.caller import Caller

REMEMBERED_SECONDS = 5.0
"""A revoked key is refused after that, at the latest."""
MOST = 10_000
Ask = Callable[[str, str, int], Awaitable["Verdict"]]
"""Gets key, service and a number of requests: is it good, and count them."""
Tell = Callable[[str, str, int], Awaitable[None]]
"""Gets the key's id, service and a number of requests that were let through: count them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``left``: requests that the key has left after this one."""

    caller: Caller
    left: int


class KeyRefusedError(Exception):
    """Billing does not know the key, or it has nothing left; ``reason`` is one of fixed words."""

    def __init__(self, reason: str, retry_after_seconds: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


@dataclass(slots=True)
class _Known:
    verdict: Verdict
    until: float
    left: int
    uncounted: int = 0


class ApiKeys:
    """``ask`` and ``tell`` reach billing."""

    def __init__(self, ask: Ask, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._tell = tell
        self._clock = clock
        self._known: dict[tuple[bytes, str], _Known] = {}
        self._asking: dict[tuple[bytes, str], asyncio.Lock] = {}

    def known(self, key: str, service: str) -> Caller | None:
        """Whose it is, without asking; the request is counted. None: ask."""
        return self._take(_name(key, service))

    async def check(self, key: str, service: str) -> Caller:
        """Whose it is. Raises KeyRefusedError, and whatever ``ask`` raises."""
        name = _name(key, service)
        lock = self._asking.setdefault(name, asyncio.Lock())
        try:
            async with lock:  # of many requests with a new key one asks
                known = self._take(name)
                if known is not None:
                    return known
                return await self._learn(name, key, service)
        finally:
            if not lock.locked():
                self._asking.pop(name, None)

    async def _learn(self, name: tuple[bytes, str], key: str, service: str) -> Caller:
        old = self._known.pop(name, None)
        uncounted = old.uncounted if old else 0
        try:
            verdict = await self._ask(key, service, 1 + uncounted)
        except KeyRefusedError:
            raise  # billing counted what it was told
        except BaseException:
            if old:
                self._known[name] = old
            raise
        if len(self._known) >= MOST:
            await self.settle()
        until = self._clock() + REMEMBERED_SECONDS
        self._known[name] = _Known(verdict, until, verdict.left)
        return verdict.caller

    def _take(self, name: tuple[bytes, str]) -> Caller | None:
        known = self._known.get(name)
        if known is None or known.left <= 0 or self._clock() >= known.until:
            return None
        known.left -= 1
        known.uncounted += 1
        return known.verdict.caller

    async def settle(self, *, all_of_them: bool = False) -> None:
        """Tell billing what it has not counted of keys that are not remembered any more."""
        now = self._clock()
        over = [
            name for name, one in self._known.items() if all_of_them or now >= one.until
        ] or list(self._known)[: MOST // 10 if len(self._known) >= MOST else 0]
        for name in over:
            one = self._known.pop(name)
            if one.uncounted and one.verdict.caller.key:
                try:
                    await self._tell(one.verdict.caller.key, name[1], one.uncounted)
                except Exception:
                    self._known.setdefault(name, one)  # it is still to be told
                    raise


def _name(key: str, service: str) -> tuple[bytes, str]:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest(), service
