"""Runs in PostgreSQL: their states, counts and refusals.

What lives here: the statements. What never does: asking goszakup.
Invariants: a page's records, its counts, its refusals and the cursor behind it are one transaction;
whoever writes proves in that transaction that the run is still its own.
"""

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from zakupai_etl.entities import BY_NAME, Entity
from zakupai_etl.runs import records
from zakupai_etl.runs.pages import Page
from zakupai_etl.runs.plan import PartStatus, Status, Wait, Window, decide_end
from zakupai_etl.tables import PARTS, REFUSALS, RUNS

WORKER_LOCK = 0x7A616B65746C
"""Held by the one process that works; each service has a database of its own."""
COUNTS = ("read", "inserted", "updated", "unchanged", "refused")


class LostError(Exception):
    """The run is no longer this worker's: cancelled, or taken by another."""


class RunActiveError(Exception):
    """Another run is under way."""


@dataclass(frozen=True)
class Claimed:
    """A run that this worker works on; ``owner`` is new at every claim, the ``number``-th."""

    run_id: int
    number: int
    owner: uuid.UUID
    window: Window


async def begin(
    connection: AsyncConnection,
    window: Window,
    entities: Sequence[str],
    *,
    user: str,
    request_id: str,
    now: datetime.datetime,
) -> int:
    """A new run; its id. Raises RunActiveError."""
    values = {
        "status": Status.RUNNING.value,
        "window_from": window.since,
        "window_to": window.until,
        "user_id": user,
        "request_id": request_id,
        "started_at": now,
        "moved_at": now,
    }
    try:
        made = await connection.scalar(insert(RUNS).values(values).returning(RUNS.c.id))
    except IntegrityError:
        raise RunActiveError from None
    parts = [
        {"run_id": made, "entity": name, "position": position}
        for position, name in enumerate(entities)
    ]
    await connection.execute(insert(PARTS), parts)
    return int(made or 0)


async def last_complete_end(
    connection: AsyncConnection, entities: Sequence[str]
) -> datetime.datetime | None:
    """Until when everything is known of all these entities; None when of one nothing is.

    A window that begins after the end of what is known leaves a gap, and moves nothing.
    """
    query = (
        select(PARTS.c.entity, RUNS.c.window_from, RUNS.c.window_to)
        .join(RUNS, RUNS.c.id == PARTS.c.run_id)
        .where(PARTS.c.status == PartStatus.DONE.value, PARTS.c.entity.in_(entities))
        .order_by(RUNS.c.id)
    )
    known: dict[str, datetime.datetime] = {}
    for row in await connection.execute(query):
        until = known.get(row.entity, row.window_from)
        if row.window_from <= until:
            known[row.entity] = max(until, row.window_to)
    return min(known.values()) if set(known) == set(entities) else None


async def claim(connection: AsyncConnection, now: datetime.datetime) -> Claimed | None:
    """The run that is under way, from now on this worker's; None when there is none."""
    owner = uuid.uuid4()
    statement = (
        update(RUNS)
        .where(RUNS.c.status == Status.RUNNING.value)
        .values(owner=owner, claims=RUNS.c.claims + 1, moved_at=now)
        .returning(RUNS)
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        return None
    return Claimed(row.id, row.claims, owner, Window(row.window_from, row.window_to))


async def parts_of(connection: AsyncConnection, run_id: int) -> Sequence[Row[Any]]:
    """Its parts in their order."""
    query = select(PARTS).where(PARTS.c.run_id == run_id).order_by(PARTS.c.position)
    return (await connection.execute(query)).all()


async def guard(connection: AsyncConnection, claimed: Claimed) -> None:
    """Hold the run until the transaction ends. Raises LostError when it is not ours any more."""
    query = select(RUNS.c.status, RUNS.c.owner).where(RUNS.c.id == claimed.run_id)
    row = (await connection.execute(query.with_for_update())).one_or_none()
    if row is None or row.status != Status.RUNNING.value or row.owner != claimed.owner:
        raise LostError


async def part_of(
    connection: AsyncConnection, claimed: Claimed, entity: Entity, *, lock: bool = False
) -> Row[Any]:
    """The part's state, of a run that is still ours. Raises LostError."""
    await guard(connection, claimed)
    query = select(PARTS).where(PARTS.c.run_id == claimed.run_id, PARTS.c.entity == entity.name)
    return (await connection.execute(query.with_for_update() if lock else query)).one()


async def keep_page(
    connection: AsyncConnection,
    claimed: Claimed,
    entity: Entity,
    page: Page,
    now: datetime.datetime,
    *,
    one_by_one: bool = False,
) -> None:
    """The page, unless it is kept already: an answer to COMMIT can get lost. Raises LostError."""
    part = await part_of(connection, claimed, entity, lock=True)
    if part.cursor != page.after or part.status == PartStatus.DONE.value:
        return
    store = records.upsert_one_by_one if one_by_one else records.upsert
    stored = await store(connection, entity, page.records, claimed.run_id, now)
    refusals = [*page.refusals, *stored.refusals]
    if refusals:
        rows = [
            {
                "run_id": claimed.run_id,
                "entity": entity.name,
                "number": part.refused + number,
                "record_id": refusal.record_id,
                "reason": refusal.reason,
                "record": refusal.record,
            }
            for number, refusal in enumerate(refusals, 1)
        ]
        await connection.execute(insert(REFUSALS), rows)
    values = {
        "cursor": page.cursor,
        "pages": PARTS.c.pages + 1,
        "expected": page.expected,
        "read": PARTS.c.read + len(page.records) + len(page.refusals),
        "inserted": PARTS.c.inserted + stored.inserted,
        "updated": PARTS.c.updated + stored.updated,
        "unchanged": PARTS.c.unchanged + stored.unchanged,
        "refused": PARTS.c.refused + len(refusals),
        "status": PartStatus.DONE.value if page.last else PartStatus.WAITING.value,
    }
    await _change_part(connection, claimed, entity, values)
    await _move(connection, claimed, now)


async def fail_part(
    connection: AsyncConnection,
    claimed: Claimed,
    entity: Entity,
    reason: str,
    now: datetime.datetime,
) -> None:
    """The part has failed for this reason; its cursor stays. Raises LostError."""
    await guard(connection, claimed)
    values = {"status": PartStatus.FAILED.value, "failure": reason}
    await _change_part(connection, claimed, entity, values)
    await _move(connection, claimed, now)


async def note_wait(
    connection: AsyncConnection, claimed: Claimed, wait: Wait, now: datetime.datetime
) -> None:
    """What the run waits for, to be seen from outside. Raises LostError."""
    await guard(connection, claimed)
    until = now + datetime.timedelta(seconds=wait.seconds)
    await _move(connection, claimed, now, waiting_for=wait.reason, waiting_until=until)


async def end(connection: AsyncConnection, claimed: Claimed, now: datetime.datetime) -> Status:
    """The run is over; how. Raises LostError."""
    await guard(connection, claimed)
    parts = await parts_of(connection, claimed.run_id)
    status = decide_end([(PartStatus(part.status), part.refused) for part in parts])
    await _move(connection, claimed, now, status=status.value, ended_at=now)
    return status


async def cancel(connection: AsyncConnection, run_id: int, now: datetime.datetime) -> bool:
    """Nothing more is written for it. False when it is not under way."""
    values = {
        "status": Status.CANCELLED.value,
        "ended_at": now,
        "waiting_for": None,
        "waiting_until": None,
    }
    where = (RUNS.c.id == run_id, RUNS.c.status == Status.RUNNING.value)
    done = await connection.execute(update(RUNS).where(*where).values(values))
    return done.rowcount == 1


async def resume(connection: AsyncConnection, run_id: int, now: datetime.datetime) -> bool:
    """An ended run goes on behind its cursors. False when all its parts are done.

    Raises RunActiveError.
    """
    query = select(RUNS.c.status).where(RUNS.c.id == run_id).with_for_update()
    if await connection.scalar(query) == Status.RUNNING.value:
        raise RunActiveError
    where = (PARTS.c.run_id == run_id, PARTS.c.status != PartStatus.DONE.value)
    values = {"status": PartStatus.WAITING.value, "failure": None}
    done = await connection.execute(update(PARTS).where(*where).values(values))
    if done.rowcount == 0:
        return False
    again = {"status": Status.RUNNING.value, "ended_at": None, "moved_at": now, "owner": None}
    try:
        await connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(again))
    except IntegrityError:
        raise RunActiveError from None
    return True


async def runs(connection: AsyncConnection, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """The newest first."""
    query = select(RUNS).order_by(RUNS.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(RUNS.c.id < before)
    return (await connection.execute(query)).all()


async def run(connection: AsyncConnection, run_id: int) -> Row[Any] | None:
    """One run."""
    return (await connection.execute(select(RUNS).where(RUNS.c.id == run_id))).one_or_none()


async def active(connection: AsyncConnection) -> int | None:
    """The id of the run that is under way; None when there is none."""
    query = select(RUNS.c.id).where(RUNS.c.status == Status.RUNNING.value)
    found = await connection.scalar(query)
    return None if found is None else int(found)


async def refusals(
    connection: AsyncConnection, run_id: int, entity: str, after: int, limit: int
) -> Sequence[Row[Any]]:
    """In the order in which they came."""
    query = select(REFUSALS).where(
        REFUSALS.c.run_id == run_id, REFUSALS.c.entity == entity, REFUSALS.c.number > after
    )
    return (await connection.execute(query.order_by(REFUSALS.c.number).limit(limit))).all()


async def _change_part(
    connection: AsyncConnection, claimed: Claimed, entity: Entity, values: dict[str, Any]
) -> None:
    where = (PARTS.c.run_id == claimed.run_id, PARTS.c.entity == entity.name)
    await connection.execute(update(PARTS).where(*where).values(values))


async def _move(
    connection: AsyncConnection, claimed: Claimed, now: datetime.datetime, **values: Any
) -> None:
    moved = {"moved_at": now, "waiting_for": None, "waiting_until": None, **values}
    await connection.execute(update(RUNS).where(RUNS.c.id == claimed.run_id).values(moved))


def entity_of(part: Row[Any]) -> Entity:
    """The entity of a part."""
    return BY_NAME[part.entity]
