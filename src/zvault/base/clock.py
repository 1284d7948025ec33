"""Time as a parameter.

What lives here: the clock protocol, the real clock and one that tests move by hand.
Unit: nanoseconds since the Unix epoch as int, because Go's times have nanoseconds and floats lose
them. ``base/gotime.py`` turns them into text.
"""

import time
from typing import Protocol

_STEP_NS = 10**9


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


class ClockWatch:
    """Notices that the wall clock was set back: times of files could then come a second time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_ns = self._ahead()

    def went_back(self) -> bool:
        """Whether it was, by more than a second in all, since this last said so."""
        ahead_ns = self._ahead()
        if ahead_ns < self._ahead_ns - _STEP_NS:
            self._ahead_ns = ahead_ns
            return True
        self._ahead_ns = max(self._ahead_ns, ahead_ns)
        return False

    def _ahead(self) -> int:
        """The wall clock's lead over the one that never goes back."""
        return self._clock.now_ns() - int(self._clock.monotonic() * 1e9)
