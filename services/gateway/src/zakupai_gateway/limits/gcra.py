"""The generic cell rate algorithm: one time per limit instead of a list of requests.

What lives here: limits, decisions, and the algorithm in Python. ``gcra.lua`` is the same for Redis.
What never does: I/O, a clock.
Invariants: with ``requests`` per ``seconds`` no more than ``requests`` pass at once, and one more
after every ``seconds / requests``; of several limits all allow or none is charged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

SECOND = 1_000_000
"""Times are whole microseconds."""


@dataclass(frozen=True, slots=True)
class Limit:
    """``requests`` in ``seconds``, all of them at once if they like. Raises ValueError."""

    requests: int
    seconds: float
    interval: int = field(init=False, repr=False)
    """Microseconds from which one more request comes."""
    span: int = field(init=False, repr=False)
    """Microseconds from empty to full."""

    def __post_init__(self) -> None:
        if self.requests < 1 or self.seconds <= 0:
            raise ValueError("a limit allows at least 1 request in more than 0 seconds")
        interval = max(1, round(self.seconds * SECOND / self.requests))
        object.__setattr__(self, "interval", interval)
        object.__setattr__(self, "span", interval * self.requests)


@dataclass(frozen=True, slots=True)
class Charge:
    """One request against one limit. ``kind`` is for people: user, key, ip, route."""

    kind: str
    key: str
    limit: Limit


@dataclass(frozen=True, slots=True)
class Decision:
    """Of the limit that binds most: the one that refused, or the one with the least left."""

    allowed: bool
    charge: Charge
    remaining: int
    retry_after: int
    """Microseconds until this request would be allowed; 0 if it is."""
    reset: int
    """Microseconds until the limit is as if nobody had asked."""


def decide(
    charges: Sequence[Charge], arrivals: Sequence[int | None], now: int
) -> tuple[Decision, list[int]]:
    """The decision and what to remember: the theoretical arrival times, unchanged if refused.

    ``arrivals``: what was remembered of each charge's key; None for nothing.
    """
    times = []
    refused: Decision | None = None
    binding: Decision | None = None
    for charge, arrival in zip(charges, arrivals, strict=True):
        limit = charge.limit
        # A memory from before the limit shrank, or before the clock was set back, is cut.
        earliest = min(max(now if arrival is None else arrival, now), now + limit.span)
        after = earliest + limit.interval
        times.append(after)
        wait = after - limit.span - now
        if wait > 0:
            if refused is None or wait > refused.retry_after:
                refused = Decision(False, charge, 0, wait, earliest - now)
            continue
        remaining = -wait // limit.interval
        if binding is None or remaining < binding.remaining:
            binding = Decision(True, charge, remaining, 0, after - now)
    if refused is not None:
        return refused, [now if one is None else one for one in arrivals]
    if binding is None:
        raise ValueError("nothing to charge")
    return binding, times
