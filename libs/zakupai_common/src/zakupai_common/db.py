"""PostgreSQL for a service: one pool, short time-outs, the password out of Vault.

What lives here: the engine (SQLAlchemy 2 on psycopg 3), transactions with a deadline, the question
whether it is there and migrated. What never does: a table.
Invariant: the password is asked for at every new connection and is in no URL, so a rotated one
counts at once and none can be printed; whatever makes PostgreSQL unusable becomes one error.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, event, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from zakupai_common.secret import Secret

_log = logging.getLogger("zakupai.database")
DRIVER = "postgresql+psycopg"


class DatabaseUnavailableError(Exception):
    """PostgreSQL does not answer, refuses us or took too long; nothing was committed for sure."""


@dataclass(frozen=True)
class DatabaseLogin:
    """Who we are there."""

    user: str
    password: Secret[str]


@dataclass(frozen=True)
class DatabaseSettings:
    """``host`` may be a folder with a socket. Times in seconds."""

    host: str
    name: str
    port: int = 5432
    connect_timeout_seconds: int = 3
    statement_timeout_seconds: float = 5.0
    deadline_seconds: float = 8.0
    """Of a whole transaction, also when the server hangs and cannot time anything itself."""
    pool_size: int = 10
    pool_timeout_seconds: float = 3.0

    def url(self) -> URL:
        """Without user and password."""
        return URL.create(DRIVER, host=self.host, port=self.port, database=self.name)

    def connect_arguments(self) -> dict[str, Any]:
        """What psycopg gets beside the URL."""
        milliseconds = int(self.statement_timeout_seconds * 1000)
        options = (
            f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
            f" -c idle_in_transaction_session_timeout={milliseconds * 2} -c timezone=UTC"
        )
        return {"connect_timeout": self.connect_timeout_seconds, "options": options}


class Database:
    """One pool. ``login`` is asked at every new connection."""

    def __init__(self, settings: DatabaseSettings, login: Callable[[], DatabaseLogin]) -> None:
        self.settings = settings
        self._login = login
        self.engine: AsyncEngine = create_async_engine(
            settings.url(),
            connect_args=settings.connect_arguments(),
            pool_size=settings.pool_size,
            max_overflow=0,
            pool_timeout=settings.pool_timeout_seconds,
            pool_pre_ping=True,  # a restarted PostgreSQL costs no request
            pool_recycle=1800,
            hide_parameters=True,
        )
        event.listen(self.engine.sync_engine, "do_connect", self._add_login)

    def _add_login(
        self, dialect: object, record: object, arguments: object, parameters: dict[str, Any]
    ) -> None:
        login = self._login()
        parameters["user"] = login.user
        parameters["password"] = login.password.reveal()

    @asynccontextmanager
    async def begin(self, deadline_seconds: float | None = None) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end, rolled back on any error.

        ``deadline_seconds``: another than the settings'. Raises DatabaseUnavailableError; errors of
        the statements themselves (IntegrityError) pass as they are.
        """
        try:
            async with (
                asyncio.timeout(deadline_seconds or self.settings.deadline_seconds),
                self.engine.begin() as connection,
            ):
                yield connection
        except (OperationalError, InterfaceError, PoolTimeoutError, TimeoutError) as error:
            raise _unavailable(error) from None
        except DBAPIError as error:
            if error.connection_invalidated:
                raise _unavailable(error) from None
            raise

    @asynccontextmanager
    async def try_lock(self, number: int) -> AsyncIterator[bool]:
        """Hold PostgreSQL's advisory lock of this number; False: somebody else holds it.

        A session of its own holds it, outside any transaction, so it is given up when this process
        dies. When only that session breaks nobody is told: what must not be done twice needs a
        check of its own in its transaction. Raises DatabaseUnavailableError.
        """
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self.settings.deadline_seconds):
                    connection = await self.engine.connect()
                    stack.push_async_callback(_discard, connection)
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                    await connection.execute(text(_KEEP_ALIVE))
                    query = text("SELECT pg_try_advisory_lock(:number)")
                    ours = bool(await connection.scalar(query, {"number": number}))
            except (DBAPIError, PoolTimeoutError, TimeoutError) as error:
                raise _unavailable(error) from None
            yield ours

    async def ping(self) -> None:
        """One round trip. Raises DatabaseUnavailableError."""
        async with self.begin() as connection:
            await connection.execute(text("SELECT 1"))

    async def revision(self) -> str | None:
        """Alembic's revision of the schema; None before the first migration."""
        async with self.begin() as connection:
            if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
                return None
            found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            return None if found is None else str(found)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


_KEEP_ALIVE = """
SELECT set_config('tcp_keepalives_idle', '30', false),
    set_config('tcp_keepalives_interval', '10', false),
    set_config('tcp_keepalives_count', '3', false)
"""
"""A client whose machine vanished without a word is noticed within a minute."""


async def _discard(connection: AsyncConnection) -> None:
    """Close it and do not hand it back to the pool: what belongs to its session ends with it."""
    await connection.invalidate()
    await connection.close()


def _unavailable(error: Exception) -> DatabaseUnavailableError:
    cause = getattr(error, "orig", None) or error
    first_line = (str(cause).strip().splitlines() or [""])[0]
    _log.warning("PostgreSQL: %s: %s", type(cause).__name__, first_line)
    return DatabaseUnavailableError(f"{type(cause).__name__}: {first_line}")
