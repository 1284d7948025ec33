"""API keys over their life: made, rotated with overlap, revoked, expired, checked.

What lives here: the statements on keys. What never does: HTTP, counting.
Invariants: the secret leaves once, when the key is made; all changes to one user's keys happen one
after the other (the user's row is locked), so the limit of keys holds (twice that with those that
are being replaced) and a key is rotated once.
"""

import datetime
import hmac
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from zakupai_billing.api_key import ApiKey, new_key
from zakupai_billing.plans import Plan, plan_now
from zakupai_billing.tables import API_KEYS, USERS
from zakupai_common.secret import Secret
from zakupai_common.web.errors import ProblemError

KEYS_PER_USER = 10
_K = API_KEYS.c
_NOTED_EVERY = datetime.timedelta(minutes=1)


@dataclass(frozen=True)
class Peppers:
    """``previous`` counts while the pepper is exchanged; what matched it is hashed anew."""

    now: Secret[str]
    previous: Secret[str] | None = None


@dataclass(frozen=True)
class GoodKey:
    """A key that may be used now."""

    key_id: str
    user_id: uuid.UUID
    plan: Plan


@dataclass(frozen=True)
class Refusal:
    """Why a key may not be used: a stable word and a sentence."""

    reason: Literal["unknown", "blocked", "revoked", "expired"]
    message: str


@dataclass(frozen=True)
class Rotation:
    """The new key with its own end, and when the old one ends."""

    key: ApiKey
    expires_at: datetime.datetime | None
    old_ends_at: datetime.datetime


async def make_key(
    connection: AsyncConnection,
    user_id: uuid.UUID,
    peppers: Peppers,
    expires_at: datetime.datetime | None,
    now: datetime.datetime,
) -> ApiKey:
    """A new key for a locked user. Raises ProblemError 409 when the user has too many."""
    await _room(connection, user_id, KEYS_PER_USER, now)
    return await _insert(connection, user_id, peppers, expires_at, now)


async def _room(
    connection: AsyncConnection, user_id: uuid.UUID, most: int, now: datetime.datetime
) -> None:
    usable = select(_K.id).where(_K.user_id == user_id, *_usable(now))
    if len((await connection.execute(usable)).all()) >= most:
        raise ProblemError(409, "too-many-keys", f"a user has at most {most} keys")


async def _insert(
    connection: AsyncConnection,
    user_id: uuid.UUID,
    peppers: Peppers,
    expires_at: datetime.datetime | None,
    now: datetime.datetime,
) -> ApiKey:
    key = new_key()
    await connection.execute(
        insert(API_KEYS).values(
            id=key.key_id,
            user_id=user_id,
            hash=key.keyed_hash(peppers.now),
            status="active",
            expires_at=expires_at,
            created_at=now,
        )
    )
    return key


async def rotate(
    connection: AsyncConnection,
    user_id: uuid.UUID,
    key_id: str,
    overlap: datetime.timedelta,
    peppers: Peppers,
    now: datetime.datetime,
) -> Rotation:
    """A key in place of another, which works on for ``overlap``.

    The user must be locked. Raises ProblemError 404 and 409.
    """
    old = await _own(connection, user_id, key_id)
    if old.replaced_by is not None:
        raise ProblemError(409, "already-rotated", "this key was rotated before")
    refusal = _refusal(old.status, old.expires_at, now)
    if refusal:
        raise ProblemError(409, refusal.reason, f"{refusal.message}, so it cannot be rotated")
    if overlap:  # without one the old key makes room for the new
        await _room(connection, user_id, 2 * KEYS_PER_USER, now)
    key = await _insert(connection, user_id, peppers, old.expires_at, now)
    ends_at = min(old.expires_at or now + overlap, now + overlap)
    changed = update(API_KEYS).where(_K.id == key_id)
    await connection.execute(changed.values(replaced_by=key.key_id, expires_at=ends_at))
    return Rotation(key, old.expires_at, ends_at)


async def revoke(connection: AsyncConnection, user_id: uuid.UUID, key_id: str) -> None:
    """End a key at once; again and again. Raises ProblemError 404."""
    await _own(connection, user_id, key_id)
    await connection.execute(update(API_KEYS).where(_K.id == key_id).values(status="revoked"))


async def keys_of(connection: AsyncConnection, user_id: uuid.UUID) -> Sequence[Row[Any]]:
    """The user's keys, oldest first, without their hashes."""
    shown = [column for column in API_KEYS.columns if column is not _K.hash]
    query = select(*shown).where(_K.user_id == user_id).order_by(_K.created_at, _K.id)
    return (await connection.execute(query)).all()


async def check(
    connection: AsyncConnection, key: ApiKey | None, peppers: Peppers, now: datetime.datetime
) -> GoodKey | Refusal:
    """Whether the key may be used now."""
    unknown = Refusal("unknown", "this is no API key of ours")
    if key is None:
        return unknown
    query = select(API_KEYS, USERS.c.plan, USERS.c.plan_until, USERS.c.status.label("user_status"))
    query = query.join(USERS, USERS.c.id == _K.user_id).where(_K.id == key.key_id)
    found = (await connection.execute(query)).one_or_none()
    if found is None or not await _matches(connection, key, found.hash, peppers):
        return unknown
    if found.user_status != "active":
        return Refusal("blocked", "the user is blocked")
    refusal = _refusal(found.status, found.expires_at, now)
    if refusal:
        return refusal
    if found.last_used_at is None or now - found.last_used_at >= _NOTED_EVERY:
        noted = update(API_KEYS).where(_K.id == key.key_id)
        await connection.execute(noted.values(last_used_at=now))
    return GoodKey(key.key_id, found.user_id, plan_now(found.plan, found.plan_until, now))


async def _matches(connection: AsyncConnection, key: ApiKey, kept: bytes, peppers: Peppers) -> bool:
    if hmac.compare_digest(key.keyed_hash(peppers.now), kept):
        return True
    if peppers.previous is None:
        return False
    if not hmac.compare_digest(key.keyed_hash(peppers.previous), kept):
        return False
    changed = update(API_KEYS).where(_K.id == key.key_id)
    await connection.execute(changed.values(hash=key.keyed_hash(peppers.now)))
    return True


def _refusal(
    status: str, expires_at: datetime.datetime | None, now: datetime.datetime
) -> Refusal | None:
    if status != "active":
        return Refusal("revoked", "the key is revoked")
    if expires_at is not None and now >= expires_at:
        return Refusal("expired", "the key has expired")
    return None


def _usable(now: datetime.datetime) -> tuple[Any, ...]:
    return (_K.status == "active", or_(_K.expires_at.is_(None), _K.expires_at > now))


async def _own(connection: AsyncConnection, user_id: uuid.UUID, key_id: str) -> Row[Any]:
    query = select(API_KEYS).where(_K.user_id == user_id, _K.id == key_id)
    found = (await connection.execute(query)).one_or_none()
    if found is None:
        raise ProblemError(404, "no-key", "the user has no key with this id")
    return found
