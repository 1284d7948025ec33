"""Every calculation is kept, for the user who asked.

What lives here: the table and its statements. What never does: HTTP or a formula.
Invariant: nobody reads another user's calculations; ids are UUIDs of version 7, so that their order
is the order of time.
"""

import datetime
import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    MetaData,
    Row,
    Table,
    Text,
    Uuid,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

CALCULATIONS = Table(
    "finance_calcs",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("lot_id", BigInteger),
    Column("request_id", Text, nullable=False),
    Column("input", JSONB, nullable=False),
    Column("results", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
_C = CALCULATIONS.c


def new_id(now: datetime.datetime) -> uuid.UUID:
    """UUID version 7 (RFC 9562): milliseconds, then 74 random bits."""
    milliseconds = int(now.timestamp() * 1000)
    number = (milliseconds << 80) | secrets.randbits(80)
    number = (number & ~(0xF << 76)) | (7 << 76)
    number = (number & ~(0x3 << 62)) | (2 << 62)
    return uuid.UUID(int=number)


async def remember(
    connection: AsyncConnection,
    *,
    calculation_id: uuid.UUID,
    user: str,
    kind: str,
    lot_id: int | None,
    request_id: str,
    asked: Mapping[str, Any],
    answered: Mapping[str, Any],
    now: datetime.datetime,
) -> None:
    """Add one calculation."""
    await connection.execute(
        insert(CALCULATIONS).values(
            id=calculation_id,
            user_id=user,
            kind=kind,
            lot_id=lot_id,
            request_id=request_id,
            input=dict(asked),
            results=dict(answered),
            created_at=now,
        )
    )


async def page(
    connection: AsyncConnection,
    user: str,
    *,
    lot_id: int | None,
    before: uuid.UUID | None,
    limit: int,
) -> Sequence[Row[Any]]:
    """The newest ``limit`` of this user's calculations that are older than ``before``."""
    query = select(CALCULATIONS).where(_C.user_id == user)
    if lot_id is not None:
        query = query.where(_C.lot_id == lot_id)
    if before is not None:
        query = query.where(_C.id < before)
    return (await connection.execute(query.order_by(_C.id.desc()).limit(limit))).all()


async def one(connection: AsyncConnection, user: str, calculation_id: uuid.UUID) -> Row[Any] | None:
    """This calculation, if it is the user's."""
    query = select(CALCULATIONS).where(_C.user_id == user, _C.id == calculation_id)
    return (await connection.execute(query)).one_or_none()


async def newest_margin(
    connection: AsyncConnection, user: str, lot_id: int, supplier_id: int, region: str
) -> Row[Any] | None:
    """The user's newest margin of this lot, supplier and region."""
    wanted = {"supplier_id": supplier_id, "region": region}
    query = select(CALCULATIONS).where(
        _C.user_id == user,
        _C.lot_id == lot_id,
        _C.kind == "margin",
        _C.input.contains(wanted),
    )
    return (await connection.execute(query.order_by(_C.id.desc()).limit(1))).one_or_none()
