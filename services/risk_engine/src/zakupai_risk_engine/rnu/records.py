"""Suppliers' states and who watches them, in PostgreSQL.

What lives here: the tables and their statements. What never does: the registry, a message.
Invariants: a change of state and the alerts it causes are one transaction, so each change is told
to each subscriber through exactly one row; what was observed earlier never overwrites what was
observed later. Whoever changes a supplier's state or subscribers holds the supplier's lock.
"""

import datetime
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    MetaData,
    Table,
    Text,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from zakupai_risk_engine.rnu.cache import Checked
from zakupai_risk_engine.rnu.states import State

_TIME = DateTime(timezone=True)
_METADATA = MetaData()
STATES = Table(
    "rnu_validation_cache",
    _METADATA,
    Column("bin", CHAR(12), primary_key=True),
    Column("state", Text, nullable=False),
    Column("checked_at", _TIME, nullable=False),
)
SUBSCRIPTIONS = Table(
    "rnu_subscriptions",
    _METADATA,
    Column("user_id", Text, primary_key=True),
    Column("bin", CHAR(12), primary_key=True),
    Column("chat_id", BigInteger, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("since", _TIME, nullable=False),
    Column("ended_at", _TIME),
)
_STATE, _SUBSCRIPTION = STATES.c, SUBSCRIPTIONS.c
MOST_SUBSCRIPTIONS = 100


class TooManyError(Exception):
    """The user watches as many suppliers as one may."""


async def state_of(connection: AsyncConnection, number: str) -> Checked | None:
    """What was observed last, however old."""
    query = select(_STATE.state, _STATE.checked_at).where(_STATE.bin == number)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else Checked(State(row.state), row.checked_at)


async def observe(connection: AsyncConnection, number: str, seen: Checked) -> Checked:
    """Keep what the registry said; a change becomes alerts. What counts now."""
    await _lock(connection, f"rnu:{number}")
    before = await state_of(connection, number)
    if before is not None and before.checked_at >= seen.checked_at:
        return before
    values = {"state": seen.state.value, "checked_at": seen.checked_at}
    statement = insert(STATES).values(bin=number, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["bin"], set_=values))
    if before is None or before.state is not seen.state:
        await connection.execute(
            _TELL,
            {
                "bin": number,
                "old": None if before is None else before.state.value,
                "new": seen.state.value,
                "at": seen.checked_at,
            },
        )
    return seen


# Nobody needs a record of a change that nobody watches.
_TELL = text(
    """
    WITH watchers AS (
        SELECT user_id, chat_id FROM rnu_subscriptions WHERE bin = :bin AND active
    ), change AS (
        INSERT INTO rnu_changes (bin, old_state, new_state, observed_at)
        SELECT :bin, :old, :new, :at WHERE EXISTS (SELECT 1 FROM watchers)
        RETURNING id
    )
    INSERT INTO rnu_alerts (change_id, user_id, bin, chat_id, due_at)
    SELECT change.id, watchers.user_id, :bin, watchers.chat_id, :at FROM change, watchers
    """
)


_SUBSCRIBE = text(
    """
    WITH mine AS (
        SELECT bin FROM rnu_subscriptions WHERE user_id = :user AND active
    ), made AS (
        INSERT INTO rnu_subscriptions AS held (user_id, bin, chat_id, active, since)
        SELECT :user, :bin, :chat_id, true, :now
        WHERE (SELECT count(*) FROM mine) < :most OR :bin IN (SELECT bin FROM mine)
        ON CONFLICT (user_id, bin) DO UPDATE
        SET chat_id = excluded.chat_id, active = true, ended_at = NULL,
            since = CASE WHEN held.active THEN held.since ELSE excluded.since END
        RETURNING 1
    )
    SELECT EXISTS (SELECT 1 FROM made) AS made, :bin IN (SELECT bin FROM mine) AS already,
        known.state, known.checked_at
    FROM (SELECT 1) AS one LEFT JOIN rnu_validation_cache known ON known.bin = :bin
    """
)


async def subscribe(
    connection: AsyncConnection, user: str, number: str, chat_id: int, now: datetime.datetime
) -> tuple[bool, Checked | None]:
    """Watch a supplier; whether that is new, and the state from which changes are told.

    Raises TooManyError.
    """
    await _lock(connection, f"user:{user}")
    await _lock(connection, f"rnu:{number}")
    values = {"user": user, "bin": number, "chat_id": chat_id, "now": now}
    found = (await connection.execute(_SUBSCRIBE, {**values, "most": MOST_SUBSCRIPTIONS})).one()
    if not found.made:
        raise TooManyError
    known = None if found.state is None else Checked(State(found.state), found.checked_at)
    return not found.already, known


async def unsubscribe(
    connection: AsyncConnection, user: str, number: str, now: datetime.datetime
) -> bool:
    """Watch it no longer; what waits is not sent. False when it was not watched."""
    await _lock(connection, f"rnu:{number}")
    ended = await connection.execute(
        update(SUBSCRIPTIONS)
        .where(_SUBSCRIPTION.user_id == user, _SUBSCRIPTION.bin == number, _SUBSCRIPTION.active)
        .values(active=False, ended_at=now)
    )
    await connection.execute(
        text(
            "UPDATE rnu_alerts SET doubts = doubts + (status = 'sending')::int,"
            " status = 'cancelled', ended_at = :now"
            " WHERE user_id = :user AND bin = :bin AND status IN ('waiting', 'sending')"
        ),
        {"user": user, "bin": number, "now": now},
    )
    return bool(ended.rowcount)


async def subscriptions_of(connection: AsyncConnection, user: str) -> Sequence[Any]:
    """What the user watches, with the state observed last."""
    query = (
        select(
            _SUBSCRIPTION.bin,
            _SUBSCRIPTION.chat_id,
            _SUBSCRIPTION.since,
            _STATE.state,
            _STATE.checked_at,
        )
        .join_from(SUBSCRIPTIONS, STATES, _STATE.bin == _SUBSCRIPTION.bin, isouter=True)
        .where(_SUBSCRIPTION.user_id == user, _SUBSCRIPTION.active)
        .order_by(_SUBSCRIPTION.bin)
    )
    return (await connection.execute(query)).all()


async def watched(
    connection: AsyncConnection, checked_before: datetime.datetime, limit: int
) -> list[str]:
    """Watched suppliers that were checked last before this moment or never, oldest first."""
    query = text(
        """
        SELECT watched.bin FROM (SELECT DISTINCT bin FROM rnu_subscriptions WHERE active) watched
        LEFT JOIN rnu_validation_cache known ON known.bin = watched.bin
        WHERE known.bin IS NULL OR known.checked_at < :before
        ORDER BY known.checked_at NULLS FIRST, watched.bin LIMIT :limit
        """
    )
    found = await connection.scalars(query, {"before": checked_before, "limit": limit})
    return list(found)


async def _lock(connection: AsyncConnection, name: str) -> None:
    """Until the end of the transaction nobody else holds this name."""
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name}
    )
