"""A circuit breaker: who fails again and again is left alone for a while.

What lives here: the state machine. What never does: I/O, an opinion about what a failure is.
Invariant: while it is open nobody passes; after that one at a time passes until one succeeds.
"""

import time
from collections.abc import Callable


class Breaker:
    """Closed → ``failures`` in a row → open for ``open_seconds`` → one trial → closed or open.

    Whoever was admitted says how it ended: ``succeeded``, ``failed`` or ``abandoned``.
    """

    def __init__(
        self, failures: int, open_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._open_seconds = open_seconds
        self._clock = clock
        self._failed = 0
        self._open_until = 0.0
        self._trial = False

    @property
    def is_open(self) -> bool:
        """It failed and has not been seen to work again."""
        return self._failed >= self._limit

    def admit(self) -> bool:
        """Whether this one may try."""
        if not self.is_open:
            return True
        if self._trial or self._clock() < self._open_until:
            return False
        self._trial = True
        return True

    def wait_seconds(self) -> float:
        """How long the next trial is away."""
        return max(0.0, self._open_until - self._clock()) if self.is_open else 0.0

    def succeeded(self) -> None:
        """It works."""
        self._failed, self._trial = 0, False

    def failed(self) -> None:
        """It does not."""
        self._failed += 1
        self._trial = False
        if self.is_open:
            self._open_until = self._clock() + self._open_seconds

    def abandoned(self) -> None:
        """Nothing was learnt: the one who tried went away."""
        self._trial = False
