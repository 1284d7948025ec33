"""Uploads in PostgreSQL.

What lives here: keeping an upload with its rows, reading it back. What never does: a file.
Invariants: an upload and all its rows are one transaction; the same bytes of the same user are one
upload, however often they are sent.
"""

import datetime
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.ext.asyncio import AsyncConnection

from zakupai_etl.tables import UPLOADED_ROWS, UPLOADS
from zakupai_etl.uploads.read import ReadFile

DEADLINE_SECONDS = 60.0
_ROWS_A_STATEMENT = 5_000
_INSERT = text("""
INSERT INTO etl_batch_uploads (upload_id, row_number, bin, amount, status)
SELECT :upload_id, * FROM unnest(
    CAST(:numbers AS bigint[]), CAST(:bins AS text[]),
    CAST(:amounts AS numeric[]), CAST(:statuses AS text[])
)
""")


async def keep(
    connection: AsyncConnection,
    found: ReadFile,
    *,
    sha256: str,
    size_bytes: int,
    user: str,
    request_id: str,
    now: datetime.datetime,
) -> tuple[Row[Any], bool]:
    """The upload, and whether it is new."""
    values = {
        "user_id": user,
        "request_id": request_id,
        "sha256": sha256,
        "form": found.form,
        "encoding": found.encoding,
        "size_bytes": size_bytes,
        "rows_read": found.rows_read,
        "rows_accepted": len(found.rows),
        "rows_refused": found.rows_refused,
        "errors": [asdict(one) for one in found.errors],
        "uploaded_at": now,
    }
    statement = insert_or(UPLOADS).values(values)
    statement = statement.on_conflict_do_nothing(index_elements=["user_id", "sha256"])
    made = (await connection.execute(statement.returning(UPLOADS))).one_or_none()
    if made is None:
        known = await known_upload(connection, user, sha256)
        assert known is not None  # uploads are never deleted
        return known, False
    for first in range(0, len(found.rows), _ROWS_A_STATEMENT):
        rows = found.rows[first : first + _ROWS_A_STATEMENT]
        told = {
            "upload_id": made.id,
            "numbers": [row.number for row in rows],
            "bins": [row.bin for row in rows],
            "amounts": [row.amount for row in rows],
            "statuses": [row.status for row in rows],
        }
        await connection.execute(_INSERT, told)
    return made, True


async def known_upload(connection: AsyncConnection, user: str, sha256: str) -> Row[Any] | None:
    """The user's upload of these bytes."""
    query = select(UPLOADS).where(UPLOADS.c.user_id == user, UPLOADS.c.sha256 == sha256)
    return (await connection.execute(query)).one_or_none()


async def one(connection: AsyncConnection, upload_id: int) -> Row[Any] | None:
    """An upload."""
    return (
        await connection.execute(select(UPLOADS).where(UPLOADS.c.id == upload_id))
    ).one_or_none()


async def rows(
    connection: AsyncConnection, upload_id: int, after: int, limit: int
) -> Sequence[Row[Any]]:
    """Rows of an upload in their order."""
    query = select(UPLOADED_ROWS).where(
        UPLOADED_ROWS.c.upload_id == upload_id, UPLOADED_ROWS.c.row_number > after
    )
    return (await connection.execute(query.order_by(UPLOADED_ROWS.c.row_number).limit(limit))).all()
