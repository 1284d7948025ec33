"""The history of calculations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "c0001"
down_revision = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "finance_calcs",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("lot_id", sa.BigInteger),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("input", postgresql.JSONB, nullable=False),
        sa.Column("results", postgresql.JSONB, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('vat', 'margin', 'penalty')", name="finance_calcs_kind"),
    )
    op.create_index("finance_calcs_by_user", "finance_calcs", ["user_id", "id"])
    op.create_index("finance_calcs_by_lot", "finance_calcs", ["lot_id", "id"])


def downgrade() -> None:
    """Drop it, calculations included."""
    op.drop_table("finance_calcs")
