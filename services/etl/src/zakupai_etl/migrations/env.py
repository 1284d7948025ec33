"""Alembic's door into this package."""

from zakupai_common.migrations import run_migrations

run_migrations()
