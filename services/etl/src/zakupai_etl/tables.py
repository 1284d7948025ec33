"""The tables of etl, as SQLAlchemy sees them.

What lives here: columns. What never does: a statement. The migrations make the tables; a test
holds the two against each other.
"""

from typing import Any

from sqlalchemy import (
    CHAR,
    BigInteger,
    Column,
    DateTime,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from zakupai_etl.entities import ENTITIES, Entity, Kind

METADATA = MetaData()
TIME = DateTime(timezone=True)
MONEY = Numeric(18, 2)
_TYPES: dict[Kind, TypeEngine[Any]] = {
    Kind.TEXT: Text(),
    Kind.BIN: Text(),
    Kind.NUMBER: BigInteger(),
    Kind.SUM: MONEY,
    Kind.TIME: TIME,
}
RUNS = Table(
    "runs",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("status", Text, nullable=False),
    Column("window_from", TIME, nullable=False),
    Column("window_to", TIME, nullable=False),
    Column("owner", Uuid),
    Column("claims", BigInteger, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("started_at", TIME, nullable=False),
    Column("moved_at", TIME, nullable=False),
    Column("ended_at", TIME),
    Column("waiting_for", Text),
    Column("waiting_until", TIME),
)
PARTS = Table(
    "run_parts",
    METADATA,
    Column("run_id", BigInteger, primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("position", SmallInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("cursor", BigInteger, nullable=False),
    Column("pages", BigInteger, nullable=False),
    Column("expected", BigInteger),
    Column("read", BigInteger, nullable=False),
    Column("inserted", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("unchanged", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("failure", Text),
)
REFUSALS = Table(
    "run_refusals",
    METADATA,
    Column("run_id", BigInteger, primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("record_id", Text),
    Column("reason", Text, nullable=False),
    Column("record", Text, nullable=False),
)


def _records(entity: Entity) -> Table:
    return Table(
        entity.name,
        METADATA,
        Column("id", BigInteger, primary_key=True, autoincrement=False),
        *(
            Column(field.column, _TYPES[field.kind], nullable=not field.required)
            for field in entity.fields
        ),
        Column("first_run_id", BigInteger, nullable=False),
        Column("changed_run_id", BigInteger, nullable=False),
        Column("changed_at", TIME, nullable=False),
    )


RECORDS = {entity.name: _records(entity) for entity in ENTITIES}
UPLOADS = Table(
    "etl_uploads",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("sha256", CHAR(64), nullable=False),
    Column("form", Text, nullable=False),
    Column("encoding", Text),
    Column("size_bytes", BigInteger, nullable=False),
    Column("rows_read", BigInteger, nullable=False),
    Column("rows_accepted", BigInteger, nullable=False),
    Column("rows_refused", BigInteger, nullable=False),
    Column("errors", JSONB, nullable=False),
    Column("uploaded_at", TIME, nullable=False),
)
UPLOADED_ROWS = Table(
    "etl_batch_uploads",
    METADATA,
    Column("upload_id", BigInteger, primary_key=True),
    Column("row_number", BigInteger, primary_key=True),
    Column("bin", CHAR(12), nullable=False),
    Column("amount", MONEY, nullable=False),
    Column("status", Text, nullable=False),
)
ATTACHMENTS = Table(
    "attachments",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("url", Text, nullable=False),
    Column("sha256", CHAR(64), nullable=False),
    Column("kind", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("first_fetched_at", TIME, nullable=False),
    Column("fetched_at", TIME, nullable=False),
)
