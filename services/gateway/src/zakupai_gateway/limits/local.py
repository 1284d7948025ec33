"""Limits counted in this process, for the time without Redis.

What lives here: the memory. What never does: I/O.
Invariant: it holds a bounded number of keys; what it forgets first is what has run out.
"""

import time
from collections.abc import Callable, Sequence

from zakupai_gateway.limits.gcra import Charge, Decision, decide


class LocalLimits:
    """Each process counts for itself, so N gateways together allow N times as much."""

    def __init__(
        self, most_keys: int = 100_000, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._most = most_keys
        self._clock_ns = clock_ns
        self._times: dict[str, int] = {}

    def check(self, charges: Sequence[Charge]) -> Decision:
        """Charge all or, when one refuses, none."""
        now = self._clock_ns() // 1000
        known = [self._times.get(charge.key) for charge in charges]
        decision, times = decide(charges, known, now)
        if decision.allowed:
            for charge, moment in zip(charges, times, strict=True):
                self._times.pop(charge.key, None)  # to the end: first in is first forgotten
                self._times[charge.key] = moment
            if len(self._times) > self._most:
                self._forget(now)
        return decision

    def __len__(self) -> int:
        return len(self._times)

    def _forget(self, now: int) -> None:
        live = [(key, moment) for key, moment in self._times.items() if moment > now]
        self._times = dict(live[-(self._most // 2) :])
