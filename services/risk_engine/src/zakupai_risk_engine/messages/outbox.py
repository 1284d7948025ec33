"""Alerts that are to be sent, in PostgreSQL.

What lives here: taking one, and noting how it ended. What never does: sending.
Invariants: one alert is held by one sender at a time, for ``HOLD``; a sender that died while it
held one leaves a doubt, and the next message says so; alerts about one supplier reach a user in the
order of the changes.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from zakupai_risk_engine.rnu.states import State

HOLD = datetime.timedelta(seconds=60)
"""Longer than a message can take."""


@dataclass(frozen=True)
class Alert:
    """One message to one user. ``tries`` counts this one; ``doubts``: earlier ones that may
    have arrived.
    """

    change_id: int
    user: str
    number: str
    chat_id: int
    old: State | None
    new: State
    observed_at: datetime.datetime
    tries: int
    doubts: int


# ``due_at`` of an alert that is being sent is the end of the hold.
_TAKE = text(
    """
    UPDATE rnu_alerts taken
    SET status = 'sending', tries = taken.tries + 1, due_at = :hold_until,
        doubts = taken.doubts + (taken.status = 'sending')::int
    FROM rnu_changes change
    WHERE change.id = taken.change_id AND (taken.change_id, taken.user_id) = (
        SELECT one.change_id, one.user_id FROM rnu_alerts one
        WHERE one.status IN ('waiting', 'sending') AND one.due_at <= :now
          AND NOT EXISTS (
            SELECT 1 FROM rnu_alerts earlier
            WHERE earlier.user_id = one.user_id AND earlier.bin = one.bin
              AND earlier.change_id < one.change_id AND earlier.status IN ('waiting', 'sending'))
        ORDER BY one.change_id, one.user_id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING taken.change_id, taken.user_id, taken.bin, taken.chat_id, taken.tries,
        taken.doubts, change.old_state, change.new_state, change.observed_at
    """
)


async def take(connection: AsyncConnection, now: datetime.datetime) -> Alert | None:
    """Hold the next alert that is due."""
    row = (await connection.execute(_TAKE, {"now": now, "hold_until": now + HOLD})).one_or_none()
    if row is None:
        return None
    return Alert(
        change_id=row.change_id,
        user=row.user_id,
        number=row.bin,
        chat_id=row.chat_id,
        old=None if row.old_state is None else State(row.old_state),
        new=State(row.new_state),
        observed_at=row.observed_at,
        tries=row.tries,
        doubts=row.doubts,
    )


async def sent(
    connection: AsyncConnection, alert: Alert, message_id: int, now: datetime.datetime
) -> None:
    """Telegram took it."""
    await _let_go(connection, alert, "sent", ended_at=now, message_id=message_id)


async def failed(
    connection: AsyncConnection, alert: Alert, why: str, now: datetime.datetime, *, doubt: bool
) -> None:
    """It will not be tried again; ``doubt``: this try may have arrived."""
    await _let_go(connection, alert, "failed", ended_at=now, failure=why, doubt=doubt)


async def later(
    connection: AsyncConnection, alert: Alert, why: str, due_at: datetime.datetime, *, doubt: bool
) -> None:
    """Try again at ``due_at``; ``doubt``: this try may have arrived."""
    await _let_go(connection, alert, "waiting", due_at=due_at, failure=why, doubt=doubt)


# Nothing happens when the hold ended and somebody else took it.
_LET_GO = text(
    """
    UPDATE rnu_alerts
    SET status = :status, due_at = coalesce(:due_at, due_at), ended_at = :ended_at,
        failure = :failure, telegram_message_id = :message_id, doubts = doubts + :doubt
    WHERE change_id = :change_id AND user_id = :user AND status = 'sending' AND tries = :tries
    """
)


async def _let_go(
    connection: AsyncConnection,
    alert: Alert,
    status: str,
    *,
    due_at: datetime.datetime | None = None,
    ended_at: datetime.datetime | None = None,
    failure: str | None = None,
    message_id: int | None = None,
    doubt: bool = False,
) -> None:
    values = {
        "change_id": alert.change_id,
        "user": alert.user,
        "tries": alert.tries,
        "status": status,
        "due_at": due_at,
        "ended_at": ended_at,
        "failure": failure,
        "message_id": message_id,
        "doubt": int(doubt),
    }
    await connection.execute(_LET_GO, values)


@dataclass(frozen=True)
class Backlog:
    """What is not delivered."""

    waiting: int
    failed: int


async def backlog(connection: AsyncConnection) -> Backlog:
    """Of all users."""
    found: Sequence[int] = (
        await connection.execute(
            text(
                "SELECT count(*) FILTER (WHERE status IN ('waiting', 'sending')),"
                " count(*) FILTER (WHERE status = 'failed') FROM rnu_alerts"
                " WHERE status IN ('waiting', 'sending', 'failed')"
            )
        )
    ).one()
    return Backlog(*found)


async def undelivered_of(connection: AsyncConnection, user: str, limit: int) -> Sequence[Row[Any]]:
    """The newest alerts of this user that were not delivered for sure."""
    query = text(
        """
        SELECT alert.bin, change.old_state, change.new_state, change.observed_at, alert.status,
            alert.tries, alert.doubts, alert.failure
        FROM rnu_alerts alert JOIN rnu_changes change ON change.id = alert.change_id
        WHERE alert.user_id = :user AND alert.status IN ('waiting', 'sending', 'failed')
        ORDER BY alert.change_id DESC LIMIT :limit
        """
    )
    return (await connection.execute(query, {"user": user, "limit": limit})).all()
