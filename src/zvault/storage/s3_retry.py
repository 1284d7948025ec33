"""Again, but not for ever: the one retry loop of the S3 backend.

What lives here: attempts, backoff with full jitter, the deadline, the count. What never does:
what is worth a retry (``s3_errors.py``). Time, chance and sleep come from outside, so tests need
no waiting.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from obstore.exceptions import BaseError

from zvault.base.clock import Clock
from zvault.storage.errors import StorageError
from zvault.storage.s3_errors import AlteredError, Failure, classify, to_error
from zvault.storage.s3_options import RetryPolicy

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
FAILURES = (BaseError, OSError, AlteredError)
"""What obstore raises (builtin OSErrors for some of its own), and our own finding."""


class _AbsentError(StorageError):
    """There is no such key; an error only where absence is none of the possible answers."""

    code = "storage-no-such-key"
    default_hint = "something removed the key meanwhile; look for another writer"


@dataclass(slots=True)
class Retrier:
    """Runs one operation until it succeeds, fails for good, or time is up."""

    policy: RetryPolicy
    provider: str
    store: str
    clock: Clock
    sleep: Sleep = asyncio.sleep
    jitter: Callable[[], float] = random.random
    retries: int = 0
    """How many requests were repeated since the start."""

    async def run_or_absent(self, attempt: Callable[[], Awaitable[T]], key: str) -> T | None:
        """Like ``run``; None when the provider says NoSuchKey."""
        try:
            return await self.run(attempt, key)
        except _AbsentError:
            return None

    async def run(self, attempt: Callable[[], Awaitable[T]], key: str) -> T:
        """The result of ``attempt``.

        Raises StorageError with provider, store, key and cause.
        """
        start = self.clock.monotonic()
        for number in range(1, self.policy.attempts + 1):
            try:
                return await attempt()
            except FAILURES as error:
                failure = classify(error)
            pause = self.pause_seconds(number)
            spent = self.clock.monotonic() - start + pause
            last = number == self.policy.attempts or spent > self.policy.deadline_seconds
            if last or not failure.transient:
                raise self._error(failure, key, number)
            self.retries += 1
            await self.sleep(pause)
        raise AssertionError("a policy has at least one attempt")

    def pause_seconds(self, number: int) -> float:
        """The wait after attempt ``number``: anything up to the doubled step."""
        step = min(self.policy.cap_seconds, self.policy.first_seconds * 2 ** (number - 1))
        return float(step * self.jitter())

    def _error(self, failure: Failure, key: str, attempts: int) -> StorageError:
        error = to_error(failure, provider=self.provider, store=self.store, key=key)
        if failure.absent:
            return _AbsentError(error.cause, provider=self.provider, store=self.store, key=key)
        if attempts > 1:
            error.message += f" (after {attempts} attempts)"
            error.args = (error.message,)
        return error
