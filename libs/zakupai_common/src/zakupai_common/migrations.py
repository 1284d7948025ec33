"""Alembic for a service whose password comes out of Vault.

What lives here: upgrading a service's schema, its newest revision, and what each ``env.py`` calls.
What never does: a migration.
Invariant: two instances that upgrade at once do it one after the other (an advisory lock), and no
configuration file holds an address or a password.
"""

from alembic import command, context
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, text
from sqlalchemy.pool import NullPool

from zakupai_common.db import DatabaseLogin, DatabaseSettings

_LOCK = 0x7A616B75  # one number for all services: each has a database of its own


def _config(package: str) -> Config:
    config = Config()
    config.set_main_option("script_location", f"{package}:migrations")
    config.set_main_option("path_separator", "os")
    return config


def newest_revision(package: str) -> str:
    """The revision that the code of this package wants. Raises LookupError without migrations."""
    head = ScriptDirectory.from_config(_config(package)).get_current_head()
    if head is None:
        raise LookupError(f"{package} has no migrations")
    return head


def upgrade(
    package: str, settings: DatabaseSettings, login: DatabaseLogin, revision: str = "head"
) -> None:
    """Bring the schema to ``revision``; nothing happens when it is there.

    Each migration is a transaction. Raises sqlalchemy.exc.SQLAlchemyError, alembic's CommandError.
    """
    engine = create_engine(
        settings.url(),
        connect_args=settings.connect_arguments(),
        poolclass=NullPool,
        hide_parameters=True,
    )

    @event.listens_for(engine, "do_connect")
    def _(
        dialect: object, record: object, arguments: object, parameters: dict[str, object]
    ) -> None:
        parameters["user"], parameters["password"] = login.user, login.password.reveal()

    config = _config(package)
    with engine.connect() as connection:
        connection.execute(text("SET lock_timeout = 0; SET statement_timeout = 0"))
        connection.execute(text(f"SELECT pg_advisory_lock({_LOCK})"))
        connection.commit()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def run_migrations() -> None:
    """The whole of a service's ``env.py``."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
