"""When a token is renewed, when a new one is fetched, how long to wait after a failure.

What lives here: the decisions, pure: time and luck come in as parameters. What never does: I/O, a
clock. Invariants: a token is renewed well before its end; waits grow and differ between services,
so that a thousand of them do not come back in one second.
"""

import math
from dataclasses import dataclass
from enum import Enum

from zakupai_common.secret import Secret

RENEW_AT = 2 / 3
EARLIER_BY_UP_TO = 0.1
"""Part of the wait until renewal that luck may take off."""
WORTH_RENEWING = 0.5
"""A renewal that grants no more than this part of the first lease says that the end is near."""


class Due(Enum):
    """What a token needs now."""

    NOTHING = "nothing"
    RENEWAL = "renewal"
    LOGIN = "login"


@dataclass(frozen=True, slots=True)
class Lease:
    """A token's life. Times are of a monotonic clock, in seconds."""

    token: Secret[str]
    since: float
    """When the grant was asked for: the server's count cannot have begun earlier."""
    seconds: float
    """0: for ever."""
    first_seconds: float
    """What the login granted; renewals near the end of a token's life grant less."""
    renewable: bool
    due_at: float

    @property
    def ends_at(self) -> float:
        """When it is dead for sure."""
        return self.since + self.seconds if self.seconds else math.inf

    def due(self, now: float) -> Due:
        """What to do at ``now``."""
        if now < self.due_at:
            return Due.NOTHING
        nearly_over = self.seconds <= self.first_seconds * WORTH_RENEWING
        if now >= self.ends_at or not self.renewable or nearly_over:
            return Due.LOGIN
        return Due.RENEWAL


def begin(token: Secret[str], seconds: float, *, renewable: bool, now: float, luck: float) -> Lease:
    """The lease of a fresh login; ``luck`` from 0 to 1 spreads the moment of its renewal."""
    return Lease(token, now, seconds, seconds, renewable, _due_at(now, seconds, luck))


def prolong(lease: Lease, seconds: float, *, renewable: bool, now: float, luck: float) -> Lease:
    """The same token after a renewal that granted ``seconds``."""
    due_at = _due_at(now, seconds, luck)
    return Lease(lease.token, now, seconds, lease.first_seconds, renewable, due_at)


def _due_at(now: float, seconds: float, luck: float) -> float:
    return now + seconds * RENEW_AT * (1 - EARLIER_BY_UP_TO * luck) if seconds else math.inf


def backoff_seconds(failures: int, luck: float, *, first: float, longest: float) -> float:
    """How long to wait after ``failures`` failures in a row (at least 1).

    Doubles from ``first`` to ``longest``; ``luck`` from 0 to 1 spreads it over nine tenths of that.
    """
    whole = min(longest, first * 2.0 ** min(failures - 1, 30))
    return whole * (0.1 + 0.9 * luck)
