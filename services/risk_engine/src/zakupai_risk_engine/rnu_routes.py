"""The routes about suppliers.

What lives here: validation, subscriptions, and who may see whose. What never does: a statement.
Invariant: a failed registry is 503 or 429 with what was known last, never a state.
"""

import math
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import Row

from zakupai_common.goszakup import GoszakupError, RateLimitedError
from zakupai_common.web.errors import ProblemError, problem_responses
from zakupai_common.web.identity import Caller, CallerDependency
from zakupai_common.web.parts import PartsDependency
from zakupai_risk_engine.engine import Engine
from zakupai_risk_engine.messages import outbox
from zakupai_risk_engine.models import (
    Bin,
    SubscribeRequest,
    Subscription,
    SubscriptionAnswer,
    Subscriptions,
    Undelivered,
    UserId,
    ValidationAnswer,
)
from zakupai_risk_engine.rnu import records

router = APIRouter(tags=["suppliers"])
ADMIN = "risk:admin"
_MOST_UNDELIVERED = 100
_DEFAULT_RETRY_SECONDS = 5.0


@router.get("/validate_rnu/{bin}", operation_id="validateRnu", responses=problem_responses(429))
async def validate_rnu(bin: Bin, parts: PartsDependency) -> ValidationAnswer:  # noqa: A002
    """A supplier's state in the registry, at most 24 hours old."""
    engine = parts.own(Engine)
    try:
        found = await engine.validator.validate(bin)
    except GoszakupError as error:
        limited = isinstance(error, RateLimitedError)
        engine.metrics.not_validated(rate_limited=limited)
        raise await _nobody_can_say(engine, bin, error, limited=limited) from None
    engine.metrics.validated(found.checked.state)
    return ValidationAnswer(
        bin=bin,
        state=found.checked.state,
        blocked=found.checked.state.blocked,
        checked_at=found.checked.checked_at,
        source=found.source,
    )


@router.post(
    "/rnu/subscribe",
    operation_id="subscribe",
    status_code=201,
    responses={
        200: {"model": SubscriptionAnswer, "description": "Was subscribed already"},
        **problem_responses(409),
    },
)
async def subscribe(
    asked: SubscribeRequest, parts: PartsDependency, caller: CallerDependency, response: Response
) -> SubscriptionAnswer:
    """Tell the caller's chat about changes of a supplier; at most 100 at a time."""
    try:
        async with parts.database.begin() as connection:
            new, known = await records.subscribe(
                connection, caller.user, asked.bin, asked.chat_id, parts.clock()
            )
    except records.TooManyError:
        raise ProblemError(
            409,
            "too-many-subscriptions",
            f"a user watches at most {records.MOST_SUBSCRIPTIONS} suppliers at a time",
        ) from None
    response.status_code = 201 if new else 200
    return SubscriptionAnswer(
        bin=asked.bin,
        chat_id=asked.chat_id,
        known_state=known.state if known else None,
        checked_at=known.checked_at if known else None,
    )


@router.delete(
    "/rnu/subscribe/{bin}/{user}",
    operation_id="unsubscribe",
    status_code=204,
    responses=problem_responses(404),
)
async def unsubscribe(
    bin: Bin,  # noqa: A002
    user: UserId,
    parts: PartsDependency,
    caller: CallerDependency,
) -> None:
    """Watch a supplier no longer; what waits to be sent is dropped."""
    _only_own(caller, user)
    async with parts.database.begin() as connection:
        ended = await records.unsubscribe(connection, user, bin, parts.clock())
    if not ended:
        raise ProblemError(404, "not-subscribed", "this user does not watch this supplier")


@router.get("/rnu/subscriptions/{user}", operation_id="subscriptions")
async def subscriptions(
    user: UserId, parts: PartsDependency, caller: CallerDependency
) -> Subscriptions:
    """What a user watches, and which changes Telegram has not taken."""
    _only_own(caller, user)
    async with parts.database.begin() as connection:
        watched = await records.subscriptions_of(connection, user)
        undelivered = await outbox.undelivered_of(connection, user, _MOST_UNDELIVERED)
    return Subscriptions(
        items=[
            Subscription(
                bin=row.bin,
                chat_id=row.chat_id,
                since=row.since,
                known_state=row.state,
                checked_at=row.checked_at,
            )
            for row in watched
        ],
        limit=records.MOST_SUBSCRIPTIONS,
        undelivered=[_undelivered(row) for row in undelivered],
    )


def _only_own(caller: Caller, user: str) -> None:
    if caller.user != user and not caller.may(ADMIN):
        raise ProblemError(403, "not-yours", f"these are another user's; that needs {ADMIN}")


def _undelivered(row: "Row[Any]") -> Undelivered:
    return Undelivered(
        bin=row.bin,
        old_state=row.old_state,
        new_state=row.new_state,
        observed_at=row.observed_at,
        status=row.status,
        tries=row.tries,
        may_have_arrived=row.doubts > 0,
        failure=row.failure,
    )


async def _nobody_can_say(
    engine: Engine, number: str, error: GoszakupError, *, limited: bool
) -> ProblemError:
    known = await engine.validator.last_known(number)
    more: dict[str, Any] = {"last_known": None}
    if known is not None:
        moment = known.checked_at.isoformat()
        more["last_known"] = {"state": known.state.value, "checked_at": moment}
    wait = math.ceil(error.wait_seconds or _DEFAULT_RETRY_SECONDS)
    return ProblemError(
        429 if limited else 503,
        "registry-limited" if limited else "registry-unavailable",
        "the registry limits our questions" if limited else "the registry gives no answer",
        headers={"Retry-After": str(wait)},
        **more,
    )
