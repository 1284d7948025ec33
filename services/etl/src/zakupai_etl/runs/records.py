"""Goszakup's records in PostgreSQL.

What lives here: the upsert of one page, and one record read back. What never does: a run's state.
Invariant: what is counted as inserted, updated or unchanged is what PostgreSQL did with the row; a
row that it refuses is a refusal with its reason, and takes no other row with it.
"""

import datetime
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Result, Row, literal_column, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from zakupai_etl.entities import Entity, EntityName
from zakupai_etl.runs.pages import Refusal, refuse
from zakupai_etl.tables import RECORDS

_log = logging.getLogger("zakupai.etl.records")
REFUSED = (DataError, IntegrityError)
"""PostgreSQL will not have this row; every other error is about PostgreSQL, or about us."""


@dataclass(frozen=True)
class Stored:
    """What became of the records of a page."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    refusals: tuple[Refusal, ...] = ()

    def __add__(self, other: "Stored") -> "Stored":
        return Stored(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.refusals + other.refusals,
        )


async def upsert(
    connection: AsyncConnection,
    entity: Entity,
    records: Mapping[int, Mapping[str, Any]],
    run_id: int,
    now: datetime.datetime,
) -> Stored:
    """All of them in one statement. Raises one of ``REFUSED``."""
    if not records:
        return Stored()
    table = RECORDS[entity.name]
    made = {"first_run_id": run_id, "changed_run_id": run_id, "changed_at": now}
    rows = [{"id": key, **values, **made} for key, values in records.items()]
    statement = insert(table).values(rows)
    new = statement.excluded
    columns = [field.column for field in entity.fields]
    changed = {name: new[name] for name in (*columns, "changed_run_id", "changed_at")}
    statement = statement.on_conflict_do_update(
        index_elements=["id"],
        set_=changed,
        where=or_(*(table.c[name].is_distinct_from(new[name]) for name in columns)),
    )
    # xmax is 0 in a row that is new, and names the one who locked it in a row that was there.
    found: Result[Any] = await connection.execute(statement.returning(literal_column("xmax = 0")))
    fresh: Sequence[bool] = found.scalars().all()
    inserted = sum(fresh)
    updated = len(fresh) - inserted
    return Stored(inserted, updated, len(records) - inserted - updated)


async def upsert_one_by_one(
    connection: AsyncConnection,
    entity: Entity,
    records: Mapping[int, Mapping[str, Any]],
    run_id: int,
    now: datetime.datetime,
) -> Stored:
    """The same for a page with a record that PostgreSQL refuses: only that one is left out."""
    stored = Stored()
    for key, values in records.items():
        try:
            async with connection.begin_nested():
                stored += await upsert(connection, entity, {key: values}, run_id, now)
        except REFUSED as error:
            kind = type(error.orig).__name__
            _log.warning("PostgreSQL refuses a record of %s: %s", entity.name, kind)
            reason = f"PostgreSQL refuses it: {kind}"
            stored += Stored(refusals=(refuse(key, reason, dict(values)),))
    return stored


async def one(connection: AsyncConnection, entity: Entity, key: int) -> Row[Any] | None:
    """The record under this key."""
    table = RECORDS[entity.name]
    return (await connection.execute(select(table).where(table.c.id == key))).one_or_none()


async def listed(
    connection: AsyncConnection, numbers: Sequence[str], now: datetime.datetime
) -> set[str]:
    """Which of these suppliers are in the list of the unscrupulous now."""
    if not numbers:
        return set()
    rnu = RECORDS[EntityName.RNU]
    query = select(rnu.c.supplier_biin).where(
        rnu.c.supplier_biin.in_(numbers),
        or_(rnu.c.end_date.is_(None), rnu.c.end_date >= now),
    )
    return set((await connection.execute(query)).scalars())
