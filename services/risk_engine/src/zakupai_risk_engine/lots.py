"""Lots and their evaluations in PostgreSQL.

What lives here: their tables and statements. What never does: HTTP, a score.
Invariant: a lot's score and violation are those of its last evaluation, written with it in one
transaction while the lot is locked.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    Numeric,
    Row,
    SmallInteger,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.ext.asyncio import AsyncConnection

from zakupai_risk_engine.scoring import Evaluation, Lot, MarketPrice

_TIME = DateTime(timezone=True)
_METADATA = MetaData()
LOTS = Table(
    "lots",
    _METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("title", Text, nullable=False),
    Column("price", Numeric(17, 2), nullable=False),
    Column("deadline", _TIME),
    Column("customer_bin", CHAR(12), nullable=False),
    Column("plan_id", BigInteger),
    Column("updated_at", _TIME, nullable=False),
    Column("score", SmallInteger),
    Column("violation", Boolean),
    Column("evaluated_at", _TIME),
)
PRICES = Table(
    "lot_prices",
    _METADATA,
    Column("lot_id", BigInteger, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("price", Numeric(17, 2), nullable=False),
    Column("quantity", Numeric(18, 3), nullable=False),
)
EVALUATIONS = Table(
    "risk_evaluations",
    _METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("lot_id", BigInteger, nullable=False),
    Column("score", SmallInteger, nullable=False),
    Column("risk_level", Text, nullable=False),
    Column("flags", JSONB, nullable=False),
    Column("unknown", JSONB, nullable=False),
    Column("market", Numeric),
    Column("anti_dumping_percent", Numeric),
    Column("violation", Boolean),
    Column("input", JSONB, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("evaluated_at", _TIME, nullable=False),
)


@dataclass(frozen=True)
class LinkedPrice:
    """A market price of one position, and where it was seen."""

    source: str
    price: Decimal
    quantity: Decimal


@dataclass(frozen=True)
class LotRecord:
    """A lot as it is kept. Money in tenge."""

    id: int
    title: str
    price: Decimal
    deadline: datetime.datetime | None
    customer_bin: str
    plan_id: int | None
    prices: tuple[LinkedPrice, ...]

    def to_score(self) -> Lot:
        """What the score depends on."""
        market = tuple(MarketPrice(one.price, one.quantity) for one in self.prices)
        return Lot(self.price, self.deadline, self.plan_id, market)


async def put(connection: AsyncConnection, lot: LotRecord, now: datetime.datetime) -> None:
    """Keep the lot with exactly these prices. An older evaluation stays until the next one."""
    values = {
        "title": lot.title,
        "price": lot.price,
        "deadline": lot.deadline,
        "customer_bin": lot.customer_bin,
        "plan_id": lot.plan_id,
        "updated_at": now,
    }
    statement = insert_or(LOTS).values(id=lot.id, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
    await connection.execute(delete(PRICES).where(PRICES.c.lot_id == lot.id))
    if lot.prices:
        rows = [
            {"lot_id": lot.id, "position": position, **asdict(one)}
            for position, one in enumerate(lot.prices)
        ]
        await connection.execute(insert(PRICES), rows)


async def get(connection: AsyncConnection, lot_id: int, *, lock: bool = False) -> LotRecord | None:
    """The lot; ``lock``: nobody else evaluates or changes it until the transaction ends."""
    query = select(LOTS).where(LOTS.c.id == lot_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        return None
    prices = await connection.execute(
        select(PRICES).where(PRICES.c.lot_id == lot_id).order_by(PRICES.c.position)
    )
    linked = tuple(LinkedPrice(one.source, one.price, one.quantity) for one in prices)
    return LotRecord(
        row.id, row.title, row.price, row.deadline, row.customer_bin, row.plan_id, linked
    )


async def remember(
    connection: AsyncConnection,
    lot_id: int,
    found: Evaluation,
    asked: Mapping[str, Any],
    *,
    user: str,
    request_id: str,
    now: datetime.datetime,
) -> int:
    """Keep an evaluation of a locked lot; its id."""
    flags = [{**asdict(one), "flag": one.flag.value} for one in found.raised]
    values = {
        "lot_id": lot_id,
        "score": found.score,
        "risk_level": found.level.value,
        "flags": flags,
        "unknown": {flag.value: why for flag, why in found.unknown.items()},
        "market": found.market,
        "anti_dumping_percent": found.anti_dumping_percent,
        "violation": found.violation,
        "input": dict(asked),
        "user_id": user,
        "request_id": request_id,
        "evaluated_at": now,
    }
    made = await connection.scalar(insert(EVALUATIONS).values(values).returning(EVALUATIONS.c.id))
    await connection.execute(
        update(LOTS)
        .where(LOTS.c.id == lot_id)
        .values(score=found.score, violation=found.violation, evaluated_at=now)
    )
    return int(made or 0)


async def last_evaluation(connection: AsyncConnection, lot_id: int) -> Row[Any] | None:
    """The newest evaluation of the lot."""
    query = select(EVALUATIONS).where(EVALUATIONS.c.lot_id == lot_id)
    return (
        await connection.execute(query.order_by(EVALUATIONS.c.id.desc()).limit(1))
    ).one_or_none()


@dataclass(frozen=True)
class Counts:
    """Lots by the last evaluation of each."""

    violating: int
    within: int
    unknown: int
    """Of these no market is known, so whether they violate is not either."""

    @property
    def ratio(self) -> float | None:
        """Violations per 100 lots; None when of no lot it is known."""
        known = self.violating + self.within
        return 100.0 * self.violating / known if known else None


async def count(connection: AsyncConnection) -> Counts:
    """All evaluated lots."""
    violation = LOTS.c.violation
    query = select(
        func.count().filter(violation.is_(True)),
        func.count().filter(violation.is_(False)),
        func.count().filter(violation.is_(None)),
    ).where(LOTS.c.evaluated_at.is_not(None))
    found: Sequence[int] = (await connection.execute(query)).one()
    return Counts(*found)
