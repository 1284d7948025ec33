"""Lots, their evaluations; suppliers, who watches them, what is to be told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "r0001"
down_revision = None

_MONEY = sa.Numeric(17, 2)
_QUANTITY = sa.Numeric(18, 3)
_TIME = sa.DateTime(timezone=True)
_STATES = "('ACTIVE', 'BLOCKED', 'SUSPENDED', 'LIQUIDATED', 'BLACKLISTED', 'UNKNOWN')"


def upgrade() -> None:
    """Make the tables."""
    _lots()
    _suppliers()


def _lots() -> None:
    op.create_table(
        "lots",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("price", _MONEY, nullable=False),
        sa.Column("deadline", _TIME),
        sa.Column("customer_bin", sa.CHAR(12), nullable=False),
        sa.Column("plan_id", sa.BigInteger),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("score", sa.SmallInteger),
        sa.Column("violation", sa.Boolean),
        sa.Column("evaluated_at", _TIME),
        sa.CheckConstraint("price > 0", name="lots_price"),
        sa.CheckConstraint("score BETWEEN 0 AND 100", name="lots_score"),
        sa.CheckConstraint("(score IS NULL) = (evaluated_at IS NULL)", name="lots_evaluated"),
    )
    # The ratio is counted at every scrape: from the index alone.
    op.create_index(
        "lots_evaluated_by_violation",
        "lots",
        ["violation"],
        postgresql_where=sa.text("evaluated_at IS NOT NULL"),
    )
    op.create_table(
        "lot_prices",
        sa.Column(
            "lot_id", sa.BigInteger, sa.ForeignKey("lots.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("price", _MONEY, nullable=False),
        sa.Column("quantity", _QUANTITY, nullable=False),
        sa.CheckConstraint("price >= 0 AND quantity > 0", name="lot_prices_values"),
    )
    op.create_table(
        "risk_evaluations",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("lot_id", sa.BigInteger, sa.ForeignKey("lots.id"), nullable=False),
        sa.Column("score", sa.SmallInteger, nullable=False),
        sa.Column("risk_level", sa.Text, nullable=False),
        sa.Column("flags", postgresql.JSONB, nullable=False),
        sa.Column("unknown", postgresql.JSONB, nullable=False),
        sa.Column("market", sa.Numeric),
        sa.Column("anti_dumping_percent", sa.Numeric),
        sa.Column("violation", sa.Boolean),
        sa.Column("input", postgresql.JSONB, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("evaluated_at", _TIME, nullable=False),
    )
    op.create_index("risk_evaluations_by_lot", "risk_evaluations", ["lot_id", "id"])


def _suppliers() -> None:
    op.create_table(
        "rnu_validation_cache",
        sa.Column("bin", sa.CHAR(12), primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("checked_at", _TIME, nullable=False),
        sa.CheckConstraint(f"state IN {_STATES}", name="rnu_validation_cache_state"),
    )
    op.create_table(
        "rnu_subscriptions",
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("bin", sa.CHAR(12), primary_key=True),
        sa.Column("chat_id", sa.BigInteger, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("ended_at", _TIME),
        sa.CheckConstraint("active = (ended_at IS NULL)", name="rnu_subscriptions_ended"),
    )
    op.create_index(
        "rnu_subscriptions_by_bin",
        "rnu_subscriptions",
        ["bin"],
        postgresql_where=sa.text("active"),
    )
    op.create_table(
        "rnu_changes",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("bin", sa.CHAR(12), nullable=False),
        sa.Column("old_state", sa.Text),
        sa.Column("new_state", sa.Text, nullable=False),
        sa.Column("observed_at", _TIME, nullable=False),
    )
    op.create_table(
        "rnu_alerts",
        sa.Column("change_id", sa.BigInteger, sa.ForeignKey("rnu_changes.id"), primary_key=True),
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("bin", sa.CHAR(12), nullable=False),
        sa.Column("chat_id", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False, server_default="waiting"),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("doubts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("due_at", _TIME, nullable=False),
        sa.Column("telegram_message_id", sa.BigInteger),
        sa.Column("failure", sa.Text),
        sa.Column("ended_at", _TIME),
        sa.CheckConstraint(
            "status IN ('waiting', 'sending', 'sent', 'failed', 'cancelled')",
            name="rnu_alerts_status",
        ),
    )
    op.create_index(
        "rnu_alerts_open",
        "rnu_alerts",
        ["user_id", "bin", "change_id"],
        postgresql_where=sa.text("status IN ('waiting', 'sending')"),
    )


def downgrade() -> None:
    """Drop them, everything in them included."""
    for table in (
        "rnu_alerts",
        "rnu_changes",
        "rnu_subscriptions",
        "rnu_validation_cache",
        "risk_evaluations",
        "lot_prices",
        "lots",
    ):
        op.drop_table(table)
