"""Users, API keys, usage, payments."""

import sqlalchemy as sa
from alembic import op

revision = "b0001"
down_revision = None
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    _users_and_keys()
    _usage()
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("amount", sa.Numeric(15, 2), nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("external_id", sa.Text, nullable=False, unique=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("settled_at", _TIME),
        sa.CheckConstraint("status IN ('pending', 'paid', 'failed')", name="payments_status"),
        sa.CheckConstraint("amount > 0", name="payments_amount"),
    )
    op.create_index("payments_by_user", "payments", ["user_id"])


def _users_and_keys() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tg_id", sa.BigInteger, nullable=False, unique=True),
        sa.Column("email", sa.Text),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("plan_until", _TIME),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.CheckConstraint("status IN ('active', 'blocked')", name="users_status"),
        sa.CheckConstraint("plan IN ('free', 'premium')", name="users_plan"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("replaced_by", sa.Text, sa.ForeignKey("api_keys.id")),
        sa.Column("expires_at", _TIME),
        sa.Column("last_used_at", _TIME),
        sa.Column("created_at", _TIME, nullable=False),
        sa.CheckConstraint("status IN ('active', 'revoked')", name="api_keys_status"),
        sa.CheckConstraint("octet_length(hash) = 32", name="api_keys_hash"),
    )
    op.create_index("api_keys_by_user", "api_keys", ["user_id"])


def _usage() -> None:
    op.create_table(
        "usage_windows",
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("began_at", _TIME, primary_key=True),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.CheckConstraint("kind IN ('day', 'hour')", name="usage_windows_kind"),
    )
    op.create_table(
        "usage",
        sa.Column("api_key_id", sa.Text, sa.ForeignKey("api_keys.id"), primary_key=True),
        sa.Column("endpoint", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop them, keys and payments included."""
    for table in ("payments", "usage", "usage_windows", "api_keys", "users"):
        op.drop_table(table)
