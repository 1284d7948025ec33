"""Requests are counted and limited in one statement a window.

What lives here: the windows, counting, sums for statistics. What never does: HTTP, keys' validity.
Invariants: however many requests come at once, never more than a plan allows are let through in a
window (the row is changed only where the sum stays within the limit); either every window counts a
request or none does; windows are taken in one order, so two requests never wait for each other.
"""

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from zakupai_billing.keys import GoodKey
from zakupai_billing.plans import Plan
from zakupai_billing.tables import API_KEYS, USAGE, WINDOWS

_DAY, _HOUR = datetime.timedelta(days=1), datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Window:
    """A stretch of time with a limit."""

    kind: str
    began_at: datetime.datetime
    length: datetime.timedelta
    limit: int


class LimitReachedError(Exception):
    """The transaction must be rolled back: some windows may have counted already."""

    def __init__(self, window: Window, now: datetime.datetime) -> None:
        super().__init__(f"the limit of {window.limit} requests a {window.kind} is reached")
        left = window.began_at + window.length - now
        self.retry_after_seconds = max(1, -(-left // datetime.timedelta(seconds=1)))


def windows_at(plan: Plan, now: datetime.datetime) -> tuple[Window, Window]:
    """The day and the hour that ``now`` is in, UTC."""
    hour = now.astimezone(datetime.UTC).replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    return Window("day", day, _DAY, plan.per_day), Window("hour", hour, _HOUR, plan.per_hour)


async def count(
    connection: AsyncConnection,
    key: GoodKey,
    endpoint: str,
    requests: int,
    now: datetime.datetime,
    *,
    enforce: bool,
) -> int:
    """Count requests of a key; how many are left. ``enforce`` False counts what has happened.

    Raises LimitReachedError.
    """
    left = []
    for window in windows_at(key.plan, now):
        used = await _count_in(connection, key.user_id, window, requests, enforce=enforce)
        if used is None:
            raise LimitReachedError(window, now)
        left.append(max(0, window.limit - used))
    by_endpoint = insert(USAGE).values(
        api_key_id=key.key_id, endpoint=endpoint, day=now.date(), requests=requests
    )
    await connection.execute(
        by_endpoint.on_conflict_do_update(
            index_elements=["api_key_id", "endpoint", "day"],
            set_={"requests": USAGE.c.requests + by_endpoint.excluded.requests},
        )
    )
    return min(left)


async def _count_in(
    connection: AsyncConnection, user_id: uuid.UUID, window: Window, requests: int, *, enforce: bool
) -> int | None:
    """The sum after counting; None when it would be above the limit."""
    if enforce and requests > window.limit:
        return None
    made = insert(WINDOWS).values(
        user_id=user_id, kind=window.kind, began_at=window.began_at, requests=requests
    )
    total = WINDOWS.c.requests + made.excluded.requests
    counted = made.on_conflict_do_update(
        index_elements=["user_id", "kind", "began_at"],
        set_={"requests": total},
        where=total <= window.limit if enforce else None,
    ).returning(WINDOWS.c.requests)
    found: int | None = await connection.scalar(counted)
    return found


async def used_now(
    connection: AsyncConnection, user_id: uuid.UUID, plan: Plan, now: datetime.datetime
) -> dict[str, int]:
    """Requests in the present windows, by kind."""
    windows = {window.kind: window.began_at for window in windows_at(plan, now)}
    query = select(WINDOWS.c.kind, WINDOWS.c.began_at, WINDOWS.c.requests)
    rows = await connection.execute(query.where(WINDOWS.c.user_id == user_id))
    found = dict.fromkeys(windows, 0)
    for kind, began_at, requests in rows:
        if windows.get(kind) == began_at:
            found[kind] = requests
    return found


async def by_endpoint(
    connection: AsyncConnection, user_id: uuid.UUID, since: datetime.date
) -> Sequence[Any]:
    """Sums of the user's requests by endpoint since a day, most used first."""
    total = func.sum(USAGE.c.requests).label("requests")
    query = (
        select(USAGE.c.endpoint, total)
        .join(API_KEYS, API_KEYS.c.id == USAGE.c.api_key_id)
        .where(API_KEYS.c.user_id == user_id, USAGE.c.day >= since)
        .group_by(USAGE.c.endpoint)
        .order_by(total.desc(), USAGE.c.endpoint)
        .limit(100)
    )
    return (await connection.execute(query)).all()
