"""The tables of billing, as its statements see them.

What lives here: columns. What never does: a statement; the migrations make the tables.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    Uuid,
)

METADATA = MetaData()
_TIME = DateTime(timezone=True)

USERS = Table(
    "users",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tg_id", BigInteger, nullable=False, unique=True),
    Column("email", Text),
    Column("plan", Text, nullable=False),
    Column("plan_until", _TIME),
    Column("status", Text, nullable=False),
    Column("created_at", _TIME, nullable=False),
)
API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("status", Text, nullable=False),
    Column("replaced_by", Text, ForeignKey("api_keys.id")),
    Column("expires_at", _TIME),
    Column("last_used_at", _TIME),
    Column("created_at", _TIME, nullable=False),
)
WINDOWS = Table(
    "usage_windows",
    METADATA,
    Column("user_id", Uuid, ForeignKey("users.id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("began_at", _TIME, primary_key=True),
    Column("requests", Integer, nullable=False),
)
USAGE = Table(
    "usage",
    METADATA,
    Column("api_key_id", Text, ForeignKey("api_keys.id"), primary_key=True),
    Column("endpoint", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("requests", BigInteger, nullable=False),
)
PAYMENTS = Table(
    "payments",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False),
    Column("plan", Text, nullable=False),
    Column("amount", Numeric(15, 2), nullable=False),
    Column("currency", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("external_id", Text, nullable=False, unique=True),
    Column("created_at", _TIME, nullable=False),
    Column("settled_at", _TIME),
)
