"""Routes of users and API keys.

What lives here: from a checked request to the statements, and the answer. What never does: SQL.
Invariant: every route needs its user or a scope; checking and counting are one transaction.
"""

import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from sqlalchemy import update

from zakupai_billing import keys, usage
from zakupai_billing.api_key import read_key
from zakupai_billing.keys import GoodKey, Refusal
from zakupai_billing.metrics import BillingMetrics
from zakupai_billing.models import (
    CreatedKey,
    CreateKeyRequest,
    EndpointUsage,
    KeyCheck,
    KeyInfo,
    RevokeKeyRequest,
    RotatedKey,
    RotateKeyRequest,
    Stats,
    StatusRequest,
    TgId,
    ValidateKeyRequest,
)
from zakupai_billing.pepper import peppers
from zakupai_billing.plans import plan_now
from zakupai_billing.tables import USERS
from zakupai_billing.users import ADMIN, make_user, user_for
from zakupai_common.web.errors import problem_responses
from zakupai_common.web.identity import CallerDependency, need_scope
from zakupai_common.web.parts import Parts, PartsDependency

VALIDATE = "billing:validate"
"""The gateway's scope."""
_STATS_DAYS = 30
router = APIRouter(prefix="/billing", tags=["keys"])
TgIdInPath = Annotated[TgId, Path()]


@router.post(
    "/create_key", operation_id="createKey", status_code=201, responses=problem_responses(404, 409)
)
async def create_key(
    asked: CreateKeyRequest, parts: PartsDependency, caller: CallerDependency
) -> CreatedKey:
    """A new API key for a user."""
    now = parts.clock()
    days = asked.expires_in_days
    expires_at = None if days is None else now + datetime.timedelta(days=days)
    async with parts.database.begin() as connection:
        if caller.may(ADMIN):
            await make_user(connection, asked.tg_id, asked.email, now)
        user = await user_for(connection, caller, asked.tg_id, lock=True)
        key = await keys.make_key(connection, user.id, peppers(parts), expires_at, now)
    return CreatedKey(
        api_key=key.text().reveal(),
        key_id=key.key_id,
        user_id=user.id,
        plan=plan_now(user.plan, user.plan_until, now).name,
        expires_at=expires_at,
    )


@router.post("/rotate_key", operation_id="rotateKey", responses=problem_responses(404, 409))
async def rotate_key(
    asked: RotateKeyRequest, parts: PartsDependency, caller: CallerDependency
) -> RotatedKey:
    """A new key in place of an old one, which works on for a while."""
    now = parts.clock()
    overlap = datetime.timedelta(seconds=asked.overlap_seconds)
    async with parts.database.begin() as connection:
        user = await user_for(connection, caller, asked.tg_id, lock=True)
        rotation = await keys.rotate(
            connection, user.id, asked.key_id, overlap, peppers(parts), now
        )
    return RotatedKey(
        api_key=rotation.key.text().reveal(),
        key_id=rotation.key.key_id,
        user_id=user.id,
        plan=plan_now(user.plan, user.plan_until, now).name,
        expires_at=rotation.expires_at,
        old_key_id=asked.key_id,
        old_key_ends_at=rotation.old_ends_at,
    )


@router.post(
    "/revoke_key", operation_id="revokeKey", status_code=204, responses=problem_responses(404)
)
async def revoke_key(
    asked: RevokeKeyRequest, parts: PartsDependency, caller: CallerDependency
) -> None:
    """End a key at once."""
    async with parts.database.begin() as connection:
        user = await user_for(connection, caller, asked.tg_id, lock=True)
        await keys.revoke(connection, user.id, asked.key_id)


@router.post(
    "/validate_key", operation_id="validateKey", dependencies=[need_scope(VALIDATE, ADMIN)]
)
async def validate_key(asked: ValidateKeyRequest, parts: PartsDependency) -> KeyCheck:
    """May this key make a request now? If so, it is counted."""
    return await _check_and_count(parts, asked, enforce=True)


@router.post("/usage", operation_id="usage", dependencies=[need_scope(VALIDATE, ADMIN)])
async def record_usage(asked: ValidateKeyRequest, parts: PartsDependency) -> KeyCheck:
    """Count requests that have happened, also above the limit."""
    return await _check_and_count(parts, asked, enforce=False)


async def _check_and_count(parts: Parts, asked: ValidateKeyRequest, *, enforce: bool) -> KeyCheck:
    now, checks = parts.clock(), parts.own(BillingMetrics).checks
    try:
        async with parts.database.begin() as connection:
            found = await keys.check(connection, read_key(asked.api_key), peppers(parts), now)
            if isinstance(found, GoodKey):
                remaining = await usage.count(
                    connection, found, asked.endpoint, asked.requests, now, enforce=enforce
                )
    except usage.LimitReachedError as limit:
        assert isinstance(found, GoodKey)
        checks.labels("limit").inc()
        answer = KeyCheck.good(found, 0)
        told: dict[str, Any] = {"valid": False, "reason": "limit", "message": str(limit)}
        return answer.model_copy(update={**told, "retry_after_seconds": limit.retry_after_seconds})
    if isinstance(found, Refusal):
        checks.labels(found.reason).inc()
        return KeyCheck(valid=False, reason=found.reason, message=found.message)
    checks.labels("valid").inc()
    return KeyCheck.good(found, remaining)


@router.get("/stats/{tg_id}", operation_id="stats", responses=problem_responses(404))
async def stats(tg_id: TgIdInPath, parts: PartsDependency, caller: CallerDependency) -> Stats:
    """A user's plan, keys and requests."""
    now = parts.clock()
    async with parts.database.begin() as connection:
        user = await user_for(connection, caller, tg_id)
        plan = plan_now(user.plan, user.plan_until, now)
        used = await usage.used_now(connection, user.id, plan, now)
        since = (now - datetime.timedelta(days=_STATS_DAYS)).date()
        endpoints = await usage.by_endpoint(connection, user.id, since)
        found = await keys.keys_of(connection, user.id)
    return Stats(
        user_id=user.id,
        plan=plan.name,
        plan_until=user.plan_until,
        status=user.status,
        used_today=used["day"],
        used_this_hour=used["hour"],
        requests_per_day=plan.per_day,
        requests_per_hour=plan.per_hour,
        endpoints=[
            EndpointUsage(endpoint=one.endpoint, requests=one.requests) for one in endpoints
        ],
        keys=[
            KeyInfo(
                key_id=one.id,
                status=one.status,
                created_at=one.created_at,
                expires_at=one.expires_at,
                last_used_at=one.last_used_at,
                replaced_by=one.replaced_by,
            )
            for one in found
        ],
    )


@router.post(
    "/users/{tg_id}/status",
    operation_id="setUserStatus",
    status_code=204,
    dependencies=[need_scope(ADMIN)],
    responses=problem_responses(404),
)
async def set_user_status(
    tg_id: TgIdInPath, asked: StatusRequest, parts: PartsDependency, caller: CallerDependency
) -> None:
    """Block a user, or let it in again; all its keys follow."""
    async with parts.database.begin() as connection:
        user = await user_for(connection, caller, tg_id, lock=True)
        changed = update(USERS).where(USERS.c.id == user.id)
        await connection.execute(changed.values(status=asked.status))
