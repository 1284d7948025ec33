"""Who decides about a request: Redis, or what the route says for the time without it.

What lives here: that choice, and the breaker that keeps a hung Redis from costing every request
its time-out. What never does: HTTP.
Invariant: while the breaker is open no request waits for Redis but one trial after each pause.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

from zakupai_common.breaker import Breaker
from zakupai_gateway.limits.gcra import Charge, Decision
from zakupai_gateway.limits.local import LocalLimits
from zakupai_gateway.limits.redis_limits import LimitsUnavailableError, RedisLimits

FAILURES, PAUSE_SECONDS = 1, 1.0
"""One time-out is proof enough; after a second one request tries again."""


class Away(StrEnum):
    """What a route does while Redis is away."""

    LOCAL = "local"
    """This process counts."""
    OPEN = "open"
    """Nobody counts."""
    CLOSED = "closed"
    """Nobody passes."""


class Limiter:
    """``seen`` is told who decided each time: redis, local, open or closed."""

    def __init__(
        self,
        redis: RedisLimits,
        local: LocalLimits | None = None,
        breaker: Breaker | None = None,
        seen: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._redis = redis
        self._local = local or LocalLimits()
        self.breaker = breaker or Breaker(FAILURES, PAUSE_SECONDS)
        self._seen = seen

    async def check(self, charges: Sequence[Charge], away: Away) -> Decision | None:
        """The decision; None when nobody counted. Raises LimitsUnavailableError if closed."""
        if self.breaker.admit():
            try:
                decision = await self._redis.check(charges)
            except LimitsUnavailableError:
                self.breaker.failed()
            except BaseException:
                self.breaker.abandoned()
                raise
            else:
                self.breaker.succeeded()
                self._seen("redis")
                return decision
        self._seen(away.value)
        if away is Away.CLOSED:
            raise LimitsUnavailableError("Redis is away and this route waits for it")
        return self._local.check(charges) if away is Away.LOCAL else None
