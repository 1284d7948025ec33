"""Who may log in with which password.

What lives here: the table and its statements. What never does: a password; only its hash.
Invariant: one email address, one user, whatever the case of its letters.
"""

import datetime
from typing import Any

from sqlalchemy import Column, DateTime, MetaData, Row, Table, Text, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

CREDENTIALS = Table(
    "credentials",
    MetaData(),
    Column("user_id", Text, primary_key=True),
    Column("email", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)
_C = CREDENTIALS.c


class EmailTakenError(Exception):
    """Somebody logs in with this address."""


def plain_email(email: str) -> str:
    """As it is compared and kept."""
    return email.strip().casefold()


async def find(
    connection: AsyncConnection, *, email: str | None = None, user: str | None = None
) -> Row[Any] | None:
    """By address or by user; None if nobody."""
    query = select(CREDENTIALS)
    query = query.where(_C.user_id == user) if email is None else query.where(_C.email == email)
    return (await connection.execute(query)).one_or_none()


async def add(
    connection: AsyncConnection,
    user: str,
    email: str,
    password_hash: str,
    now: datetime.datetime,
) -> None:
    """A first password. Raises EmailTakenError."""
    values = {"user_id": user, "email": email, "password_hash": password_hash, "changed_at": now}
    try:
        await connection.execute(insert(CREDENTIALS).values(values))
    except IntegrityError:
        raise EmailTakenError from None


async def change(
    connection: AsyncConnection, user: str, password_hash: str, now: datetime.datetime
) -> None:
    """Another password, or the same under today's parameters."""
    await connection.execute(
        update(CREDENTIALS)
        .where(_C.user_id == user)
        .values(password_hash=password_hash, changed_at=now)
    )
