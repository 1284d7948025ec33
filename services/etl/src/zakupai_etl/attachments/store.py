"""What is known of fetched files, in PostgreSQL.

What lives here: the statements. What never does: a file.
Invariant: a row is written after its file is in the folder; the same content of the same URL is one
row, however often it was fetched.
"""

import datetime
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Label, Row, literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from zakupai_etl.attachments.fetch import Fetched
from zakupai_etl.tables import ATTACHMENTS


async def keep(
    connection: AsyncConnection, url: str, found: Fetched, user: str, now: datetime.datetime
) -> tuple[Row[Any], bool]:
    """The attachment, and whether its content is new under this URL."""
    statement = insert(ATTACHMENTS).values(
        url=url,
        sha256=found.sha256,
        kind=found.kind.word,
        size_bytes=found.size_bytes,
        user_id=user,
        first_fetched_at=now,
        fetched_at=now,
    )
    statement = statement.on_conflict_do_update(
        index_elements=["url", "sha256"], set_={"fetched_at": now}
    )
    # xmax is 0 in a row that is new.
    fresh: Label[Any] = literal_column("xmax = 0").label("fresh")
    row = (await connection.execute(statement.returning(ATTACHMENTS, fresh))).one()
    return row, bool(row.fresh)


async def newest(
    connection: AsyncConnection, url: str, since: datetime.datetime
) -> Row[Any] | None:
    """What was fetched last from this URL, not before this moment."""
    query = (
        select(ATTACHMENTS)
        .where(ATTACHMENTS.c.url == url, ATTACHMENTS.c.fetched_at >= since)
        .order_by(ATTACHMENTS.c.fetched_at.desc(), ATTACHMENTS.c.id.desc())
    )
    return (await connection.execute(query.limit(1))).one_or_none()


async def one(connection: AsyncConnection, attachment_id: int) -> Row[Any] | None:
    """One of them."""
    query = select(ATTACHMENTS).where(ATTACHMENTS.c.id == attachment_id)
    return (await connection.execute(query)).one_or_none()


async def page(connection: AsyncConnection, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """The newest first."""
    query = select(ATTACHMENTS).order_by(ATTACHMENTS.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(ATTACHMENTS.c.id < before)
    return (await connection.execute(query)).all()
