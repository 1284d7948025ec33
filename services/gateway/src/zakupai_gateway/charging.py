"""One request against its limits, and what the client is told of it.

What lives here: from a decision to headers and 429. What never does: counting.
"""

from collections.abc import Sequence

from starlette.types import Message, Send

from zakupai_common.web.errors import ProblemError, unavailable
from zakupai_gateway.limits.gcra import SECOND, Charge, Decision
from zakupai_gateway.limits.limiter import Away, Limiter
from zakupai_gateway.limits.redis_limits import LimitsUnavailableError


async def charge(limiter: Limiter, charges: Sequence[Charge], away: Away) -> Decision | None:
    """The decision that allowed; None when nobody counts. Raises ProblemError 429 or 503."""
    try:
        decision = await limiter.check(charges, away)
    except LimitsUnavailableError:
        raise unavailable("the limiter", 1) from None
    if decision is not None and not decision.allowed:
        headers = {name.decode(): value.decode() for name, value in limit_headers(decision)}
        kind, wait = decision.charge.kind, _seconds(decision.retry_after)
        raise ProblemError(
            429,
            "too-many-requests",
            f"the limit of this {kind} is reached; try again in {wait} s",
            headers={**headers, "Retry-After": str(wait)},
            limit=kind,
        )
    return decision


def with_limits(send: Send, decision: Decision) -> Send:
    """``send`` that also says how much is left."""

    async def send_with_limits(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *limit_headers(decision)]
        await send(message)

    return send_with_limits


def limit_headers(decision: Decision) -> list[tuple[bytes, bytes]]:
    """Of the limit that binds most; times in seconds."""
    return [
        (b"ratelimit-limit", b"%d" % decision.charge.limit.requests),
        (b"ratelimit-remaining", b"%d" % decision.remaining),
        (b"ratelimit-reset", b"%d" % _seconds(decision.reset)),
    ]


def _seconds(microseconds: int) -> int:
    return -(-microseconds // SECOND)
