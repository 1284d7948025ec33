"""Sessions: a login and the chain of refresh tokens that came of it.

What lives here: the tables and their statements. What never does: access tokens, HTTP.
Invariants: a refresh token works once, also for two requests at the same moment; one that is shown
again ends its session, because then two hold it; only digests are stored.
"""

import datetime
import hashlib
import secrets
import uuid
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from zakupai_common.secret import Secret

_METADATA = MetaData()
SESSIONS = Table(
    "sessions",
    _METADATA,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("ended_because", Text),
)
REFRESH_TOKENS = Table(
    "refresh_tokens",
    _METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("session_id", Uuid, ForeignKey("sessions.id"), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("used_at", DateTime(timezone=True)),
)
_S, _R = SESSIONS.c, REFRESH_TOKENS.c

IDLE = datetime.timedelta(days=14)
"""A refresh token's life."""
LONGEST = datetime.timedelta(days=90)
"""A session's life, however often it is refreshed."""
_PREFIX = "zr_"


class Shown(Enum):
    """What a refresh token is, at the moment it is shown."""

    GOOD = "good"
    UNKNOWN = "unknown"
    ENDED = "ended"
    """Too old, or its session is over."""
    REUSED = "reused"
    """It was used before; its session has been ended now."""


@dataclass(frozen=True, slots=True)
class Session:
    """Whose it is, and the token that continues it."""

    id: uuid.UUID
    user: str
    refresh_token: Secret[str]
    expires_at: datetime.datetime
    """Of the refresh token."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A refresh token and its session, as they are now."""

    used_at: datetime.datetime | None
    expires_at: datetime.datetime
    session_id: uuid.UUID
    user_id: str
    ended_at: datetime.datetime | None
    session_expires_at: datetime.datetime


async def begin(connection: AsyncConnection, user: str, now: datetime.datetime) -> Session:
    """A new session; what this user's ended sessions left behind goes."""
    gone = delete(SESSIONS).where(_S.user_id == user, _S.expires_at < now)
    await connection.execute(gone)
    session_id, ends = uuid.uuid4(), now + LONGEST
    await connection.execute(
        insert(SESSIONS).values(id=session_id, user_id=user, created_at=now, expires_at=ends)
    )
    return await _issue(connection, session_id, user, ends, now)


async def look(
    connection: AsyncConnection, token: Secret[str], now: datetime.datetime
) -> tuple[Shown, str]:
    """What it is and whose ("" if unknown), without using it up.

    One that was used before ends its session.
    """
    found = await _find(connection, token)
    shown = await _judge(connection, found, now)
    return shown, found.user_id if found else ""


async def refresh(
    connection: AsyncConnection, token: Secret[str], now: datetime.datetime
) -> tuple[Shown, Session | None]:
    """Use the token up and issue the next; a session only if it was GOOD.

    Commit also when it was not: an ended session must stay ended.
    """
    found = await _find(connection, token)
    shown = await _judge(connection, found, now)
    if found is None or shown is not Shown.GOOD:
        return shown, None
    used = update(REFRESH_TOKENS).where(_R.digest == _digest(token)).values(used_at=now)
    await connection.execute(used)
    ends = found.session_expires_at
    return shown, await _issue(connection, found.session_id, found.user_id, ends, now)


async def end(
    connection: AsyncConnection, token: Secret[str], now: datetime.datetime, because: str
) -> None:
    """End the session that the token belongs to, used or not. Nothing happens if unknown."""
    found = await _find(connection, token)
    if found is not None:
        await _end(connection, found.session_id, now, because)


async def end_all(
    connection: AsyncConnection, user: str, now: datetime.datetime, because: str
) -> None:
    """End every session of a user."""
    await connection.execute(
        update(SESSIONS)
        .where(_S.user_id == user, _S.ended_at.is_(None))
        .values(ended_at=now, ended_because=because)
    )


async def _find(connection: AsyncConnection, token: Secret[str]) -> _Found | None:
    """The token and its session; the session is locked, so its tokens are judged one by one."""
    digest = _digest(token)
    its_session = select(_R.session_id).where(_R.digest == digest).scalar_subquery()
    await connection.execute(select(_S.id).where(_S.id == its_session).with_for_update())
    # A statement of its own: it sees what was committed while the lock was waited for.
    query = (
        select(
            _R.used_at,
            _R.expires_at,
            _R.session_id,
            _S.user_id,
            _S.ended_at,
            _S.expires_at,
        )
        .join(SESSIONS, _S.id == _R.session_id)
        .where(_R.digest == digest)
    )
    found = (await connection.execute(query)).one_or_none()
    return None if found is None else _Found(*found)


async def _judge(
    connection: AsyncConnection, found: _Found | None, now: datetime.datetime
) -> Shown:
    if found is None:
        return Shown.UNKNOWN
    if found.used_at is not None:
        if found.ended_at is None:
            await _end(connection, found.session_id, now, "reuse")
        return Shown.REUSED
    if found.ended_at is not None or min(found.expires_at, found.session_expires_at) <= now:
        return Shown.ENDED
    return Shown.GOOD


async def _issue(
    connection: AsyncConnection,
    session_id: uuid.UUID,
    user: str,
    session_ends: datetime.datetime,
    now: datetime.datetime,
) -> Session:
    token = Secret(_PREFIX + secrets.token_urlsafe(32))
    expires_at = min(now + IDLE, session_ends)
    await connection.execute(
        insert(REFRESH_TOKENS).values(
            digest=_digest(token), session_id=session_id, expires_at=expires_at
        )
    )
    return Session(session_id, user, token, expires_at)


async def _end(
    connection: AsyncConnection, session_id: uuid.UUID, now: datetime.datetime, because: str
) -> None:
    await connection.execute(
        update(SESSIONS)
        .where(_S.id == session_id, _S.ended_at.is_(None))
        .values(ended_at=now, ended_because=because)
    )


def _digest(token: Secret[str]) -> bytes:
    # 256 random bits need no slow hash.
    return hashlib.sha256(token.reveal().encode("utf-8", "surrogatepass")).digest()
