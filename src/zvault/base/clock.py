"""Time as a parameter.

What lives here: the clock protocol, the real clock and one that tests move by hand.
Unit: nanoseconds since the Unix epoch as int, because Go's times have nanoseconds and floats lose
them. ``base/gotime.py`` turns them into text.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """What time it is."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""
        ...


class SystemClock:
    """The machine's clock. No functions of its own around the two: every request asks often."""

    now_ns = staticmethod(time.time_ns)
    monotonic = staticmethod(time.monotonic)


class ManualClock:
    """A clock for tests: stands still until moved."""

    def __init__(self, now_ns: int = 1_800_000_000_000_000_000) -> None:
        self._now_ns = now_ns
        self._start_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic(self) -> float:
        return (self._now_ns - self._start_ns) / 1e9

    def advance(self, seconds: float) -> None:
        """Move on by a number of seconds."""
        self._now_ns += int(seconds * 1e9)
