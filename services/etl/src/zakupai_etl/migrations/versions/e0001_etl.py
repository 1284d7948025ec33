"""Runs and goszakup's records, uploaded rows, attachments."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "e0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)
_MONEY = sa.Numeric(18, 2)
_RUN_STATUSES = "('running', 'success', 'partial_success', 'error', 'cancelled')"


def upgrade() -> None:
    """Make the tables."""
    _runs()
    _records()
    _uploads()
    _attachments()


def _text(name: str, **more: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, **more)


def _time(name: str, **more: Any) -> sa.Column[Any]:
    return sa.Column(name, _TIME, **more)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        _text("status", nullable=False),
        _time("window_from", nullable=False),
        _time("window_to", nullable=False),
        sa.Column("owner", sa.Uuid),
        _count("claims"),
        _text("user_id", nullable=False),
        _text("request_id", nullable=False),
        _time("started_at", nullable=False),
        _time("moved_at", nullable=False),
        _time("ended_at"),
        _text("waiting_for"),
        _time("waiting_until"),
        sa.CheckConstraint(f"status IN {_RUN_STATUSES}", name="runs_status"),
        sa.CheckConstraint("(status = 'running') = (ended_at IS NULL)", name="runs_ended"),
        sa.CheckConstraint("window_from < window_to", name="runs_window"),
    )
    # Whatever a program does, two runs cannot be under way.
    op.create_index(
        "runs_one_running",
        "runs",
        [sa.text("(true)")],
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_table(
        "run_parts",
        sa.Column("run_id", sa.BigInteger, sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("entity", sa.Text, primary_key=True),
        sa.Column("position", sa.SmallInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False, server_default="waiting"),
        _count("cursor"),
        _count("pages"),
        sa.Column("expected", sa.BigInteger),
        *map(_count, ("read", "inserted", "updated", "unchanged", "refused")),
        _text("failure"),
        sa.CheckConstraint("status IN ('waiting', 'done', 'failed')", name="run_parts_status"),
        sa.CheckConstraint(
            "read = inserted + updated + unchanged + refused", name="run_parts_counted"
        ),
    )
    op.create_table(
        "run_refusals",
        sa.Column("run_id", sa.BigInteger, primary_key=True),
        sa.Column("entity", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        _text("record_id"),
        _text("reason", nullable=False),
        _text("record", nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "entity"], ["run_parts.run_id", "run_parts.entity"], name="run_refusals_part"
        ),
    )


def _record(name: str, *columns: sa.Column[Any]) -> None:
    op.create_table(
        name,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        *columns,
        sa.Column("first_run_id", sa.BigInteger, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("changed_run_id", sa.BigInteger, sa.ForeignKey("runs.id"), nullable=False),
        _time("changed_at", nullable=False),
    )


def _records() -> None:
    number = sa.BigInteger
    _record(
        "rnu",
        _text("supplier_biin", nullable=False),
        _text("supplier_name"),
        _time("start_date"),
        _time("end_date"),
    )
    op.create_index("rnu_by_supplier", "rnu", ["supplier_biin"])
    _record("subjects", _text("bin"), _text("iin"), _text("name"), _time("last_update_date"))
    _record(
        "trd_buy",
        _text("number_anno", nullable=False),
        _text("name"),
        sa.Column("total_sum", _MONEY),
        _text("org_bin"),
        sa.Column("status_id", number),
        *map(_time, ("publish_date", "start_date", "end_date", "last_update_date")),
    )
    _record(
        "lots",
        _text("lot_number", nullable=False),
        _text("name"),
        _text("description"),
        sa.Column("amount", _MONEY),
        _text("customer_bin"),
        sa.Column("trd_buy_id", number),
        _text("trd_buy_number_anno"),
        sa.Column("status_id", number),
        _time("last_update_date"),
    )
    _record(
        "contracts",
        _text("contract_number", nullable=False),
        sa.Column("trd_buy_id", number),
        _text("supplier_biin"),
        _text("customer_bin"),
        sa.Column("contract_sum", _MONEY),
        sa.Column("status_id", number),
        _time("sign_date"),
        _time("last_update_date"),
    )


def _uploads() -> None:
    op.create_table(
        "etl_uploads",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        _text("user_id", nullable=False),
        _text("request_id", nullable=False),
        sa.Column("sha256", sa.CHAR(64), nullable=False),
        _text("form", nullable=False),
        _text("encoding"),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("rows_read", sa.BigInteger, nullable=False),
        sa.Column("rows_accepted", sa.BigInteger, nullable=False),
        sa.Column("rows_refused", sa.BigInteger, nullable=False),
        sa.Column("errors", postgresql.JSONB, nullable=False),
        _time("uploaded_at", nullable=False),
        sa.CheckConstraint("rows_read = rows_accepted + rows_refused", name="etl_uploads_counted"),
        # One file of one user is one upload, however often its answer gets lost.
        sa.UniqueConstraint("user_id", "sha256", name="etl_uploads_once"),
    )
    op.create_table(
        "etl_batch_uploads",
        sa.Column("upload_id", sa.BigInteger, sa.ForeignKey("etl_uploads.id"), primary_key=True),
        sa.Column("row_number", sa.BigInteger, primary_key=True),
        sa.Column("bin", sa.CHAR(12), nullable=False),
        sa.Column("amount", _MONEY, nullable=False),
        _text("status", nullable=False),
        sa.CheckConstraint("bin ~ '^[0-9]{12}$'", name="etl_batch_uploads_bin"),
        sa.CheckConstraint("amount >= 0", name="etl_batch_uploads_amount"),
        sa.CheckConstraint(
            "status IN ('NEW', 'APPROVED', 'REJECTED')", name="etl_batch_uploads_status"
        ),
    )


def _attachments() -> None:
    op.create_table(
        "attachments",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        _text("url", nullable=False),
        sa.Column("sha256", sa.CHAR(64), nullable=False),
        _text("kind", nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        _text("user_id", nullable=False),
        _time("first_fetched_at", nullable=False),
        _time("fetched_at", nullable=False),
        sa.UniqueConstraint("url", "sha256", name="attachments_once"),
    )


def downgrade() -> None:
    """Drop them, everything in them included."""
    for table in (
        "attachments",
        "etl_batch_uploads",
        "etl_uploads",
        "contracts",
        "lots",
        "trd_buy",
        "subjects",
        "rnu",
        "run_refusals",
        "run_parts",
        "runs",
    ):
        op.drop_table(table)
