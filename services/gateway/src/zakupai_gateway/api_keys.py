"""API keys: billing says what they are, and is not asked about the same one all the time.

What lives here: the short memory of good keys, and how many requests they made meanwhile. What
never does: how billing is reached.
Invariants: a key is believed for at most ``REMEMBERED_SECONDS`` after billing said so, and for no
more than a tenth of what it had left, so the last requests of a limit are counted one by one; a
refusal is never remembered, so a new key works at once; every request is told to billing once.
"""

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from zakupai_common.secret import Secret
from zakupai_gateway.caller import Caller

REMEMBERED_SECONDS = 5.0
"""A revoked key is refused after that, at the latest."""
UNCOUNTED = 50
MOST = 10_000
_FORM = re.compile(r"zk_[0-9A-Za-z]{12}_[0-9A-Za-z]{20,80}")


class KeyRefusedError(Exception):
    """The key may not be used now. ``reason``: unknown, revoked, expired, blocked or limit."""

    def __init__(self, reason: str, retry_after_seconds: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Verdict:
    """``left``: requests that the key has left after this one."""

    caller: Caller
    left: int


class Counting(Protocol):
    """Billing, as far as keys need it."""

    async def check_key(self, key: Secret[str], service: str) -> Verdict:
        """Count one request. Raises KeyRefusedError and ProblemError."""

    async def count(self, key: Secret[str], service: str, requests: int) -> None:
        """Count what was let through. Raises ProblemError."""


@dataclass(slots=True)
class _Known:
    key: Secret[str]
    service: str
    caller: Caller
    until: float
    left: int
    uncounted: int = 0


class ApiKeys:
    """The keys of one gateway."""

    def __init__(self, billing: Counting, clock: Callable[[], float] = time.monotonic) -> None:
        self._billing = billing
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._over: list[_Known] = []
        self._asking: dict[bytes, asyncio.Task[Caller]] = {}

    def known(self, key: str, service: str) -> Caller | None:
        """Whose it is, from memory, and one request more; None: ask with ``check``."""
        return self._take(_name(key, service))

    async def check(self, key: str, service: str) -> Caller:
        """Whose it is, and one request more. Raises KeyRefusedError, ProblemError."""
        if not _FORM.fullmatch(key):
            raise KeyRefusedError("unknown")
        name = _name(key, service)
        known = self._take(name)
        if known is not None:
            return known
        asking = self._asking.get(name)
        if asking is None:  # of many requests with a new key one asks
            asking = self._asking[name] = asyncio.create_task(self._ask(name, Secret(key), service))
            asking.add_done_callback(lambda _: self._asking.pop(name, None))
            return await asyncio.shield(asking)
        await asyncio.shield(asking)  # raises for all of them; counts for the first only
        return self._take(name) or await self._ask(name, Secret(key), service)

    async def settle(self, *, everything: bool = False) -> None:
        """Tell billing of all requests of keys that are not remembered any more.

        Raises ProblemError; what was not told stays for the next time.
        """
        now = self._clock()
        for name, one in list(self._known.items()):
            if everything or now >= one.until:
                self._forget(name)
        while self._over:
            one = self._over.pop()
            try:
                await self._billing.count(one.key, one.service, one.uncounted)
            except BaseException:
                self._over.append(one)
                raise

    async def _ask(self, name: bytes, key: Secret[str], service: str) -> Caller:
        self._forget(name)
        if len(self._known) >= MOST:
            self._forget(next(iter(self._known)))
        await self.settle()
        verdict = await self._billing.check_key(key, service)
        left = min(UNCOUNTED, verdict.left // 10)
        until = self._clock() + REMEMBERED_SECONDS
        self._known[name] = _Known(key, service, verdict.caller, until, left)
        return verdict.caller

    def _take(self, name: bytes) -> Caller | None:
        known = self._known.get(name)
        if known is None or known.left <= 0 or self._clock() >= known.until:
            return None
        known.left -= 1
        known.uncounted += 1
        return known.caller

    def _forget(self, name: bytes) -> None:
        one = self._known.pop(name, None)
        if one is not None and one.uncounted:
            self._over.append(one)


async def settle_for_ever(keys: ApiKeys, seconds: float = REMEMBERED_SECONDS) -> None:
    """The task that tells billing of keys that nobody shows any more."""
    while True:
        await asyncio.sleep(seconds)
        with contextlib.suppress(Exception):  # billing away: told later
            await keys.settle()


def _name(key: str, service: str) -> bytes:
    return hashlib.sha256(f"{service} {key}".encode("utf-8", "surrogatepass")).digest()
