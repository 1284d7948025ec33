"""Who may log in with which password, and who is invited to choose one.

What lives here: the tables and their statements. What never does: a password; only its hash.
Invariants: one email address, one user, whatever the case of its letters; an invitation works once,
ends all others of its user, and only its digest is kept; scopes come from the operator's command,
never from a request.
"""

import datetime
import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import Column, DateTime, LargeBinary, MetaData, Table, Text, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from zakupai_common.secret import Secret

_METADATA = MetaData()
CREDENTIALS = Table(
    "credentials",
    _METADATA,
    Column("user_id", Text, primary_key=True),
    Column("email", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)
INVITATIONS = Table(
    "invitations",
    _METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("scopes", Text),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
_C, _I = CREDENTIALS.c, INVITATIONS.c
INVITATION = datetime.timedelta(days=2)
_PREFIX = "zi_"


class EmailTakenError(Exception):
    """Another user logs in with this address."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a login is checked against."""

    user: str
    password_hash: str
    scopes: tuple[str, ...]
    changed_at: datetime.datetime
    """When the password was chosen."""


def plain_email(email: str) -> str:
    """As it is compared and kept."""
    return email.strip().casefold()


async def find(connection: AsyncConnection, email: str) -> Credential | None:
    """By address; None if nobody."""
    query = select(_C.user_id, _C.password_hash, _C.scopes, _C.changed_at).where(_C.email == email)
    found = (await connection.execute(query)).one_or_none()
    if found is None:
        return None
    user, password_hash, scopes, changed_at = found
    return Credential(user, password_hash, tuple(scopes.split()), changed_at)


async def hold(connection: AsyncConnection, found: Credential) -> bool:
    """Whether this is still the user's password; until the transaction ends it stays so."""
    unchanged = (_C.user_id == found.user, _C.changed_at == found.changed_at)
    query = select(_C.user_id).where(*unchanged).with_for_update()
    return await connection.scalar(query) is not None


async def scopes_of(connection: AsyncConnection, user: str) -> tuple[str, ...]:
    """What a user may do now; nothing if it has no password any more."""
    found = await connection.scalar(select(_C.scopes).where(_C.user_id == user))
    return tuple((found or "").split())


async def rehash(connection: AsyncConnection, user: str, old: str, new: str) -> None:
    """The same password under today's parameters, unless it was changed meanwhile."""
    unchanged = (_C.user_id == user, _C.password_hash == old)
    await connection.execute(update(CREDENTIALS).where(*unchanged).values(password_hash=new))


async def invite(
    connection: AsyncConnection,
    user: str,
    email: str,
    now: datetime.datetime,
    scopes: tuple[str, ...] | None = None,
) -> tuple[Secret[str], datetime.datetime]:
    """An invitation to choose a password, and its end. ``scopes`` None leaves them as they are."""
    token = Secret(_PREFIX + secrets.token_urlsafe(32))
    expires_at = now + INVITATION
    await connection.execute(delete(INVITATIONS).where(_I.expires_at < now))
    await connection.execute(
        insert(INVITATIONS).values(
            digest=_digest(token),
            user_id=user,
            email=email,
            scopes=None if scopes is None else " ".join(sorted(scopes)),
            expires_at=expires_at,
        )
    )
    return token, expires_at


async def accept(
    connection: AsyncConnection, token: Secret[str], password_hash: str, now: datetime.datetime
) -> str | None:
    """Use the invitation up; the user, whose password is now this one. None: it does not work.

    Raises EmailTakenError.
    """
    used = delete(INVITATIONS).where(_I.digest == _digest(token), _I.expires_at > now)
    returned = used.returning(_I.user_id, _I.email, _I.scopes)
    found = (await connection.execute(returned)).one_or_none()
    if found is None:
        return None
    user, email, scopes = found
    await connection.execute(delete(INVITATIONS).where(_I.user_id == user))
    values = {"email": email, "password_hash": password_hash, "changed_at": now}
    if scopes is not None:
        values["scopes"] = scopes
    made = insert(CREDENTIALS).values({"user_id": user, "scopes": "", **values})
    try:
        await connection.execute(
            made.on_conflict_do_update(index_elements=["user_id"], set_=values)
        )
    except IntegrityError:
        raise EmailTakenError from None
    return str(user)


async def is_open(connection: AsyncConnection, token: Secret[str], now: datetime.datetime) -> bool:
    """The invitation works; asked before a password is hashed for it."""
    query = select(_I.user_id).where(_I.digest == _digest(token), _I.expires_at > now)
    return await connection.scalar(query) is not None


def _digest(token: Secret[str]) -> bytes:
    return hashlib.sha256(token.reveal().encode("utf-8", "surrogatepass")).digest()
