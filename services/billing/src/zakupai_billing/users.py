"""Users: found by Telegram id or by their own, made by administrators.

What lives here: the statements, and who may act for whom. What never does: HTTP.
Invariant: a caller acts for itself (its identity is the user's id) or has the scope
``billing:admin``; whether a foreign user exists is not told.
"""

import datetime
import uuid
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from zakupai_billing.plans import FREE
from zakupai_billing.tables import USERS
from zakupai_common.web.errors import ProblemError
from zakupai_common.web.identity import Caller

ADMIN = "billing:admin"


async def user_for(
    connection: AsyncConnection, caller: Caller, tg_id: int, *, lock: bool = False
) -> Row[Any]:
    """The user that ``caller`` may act for. Raises ProblemError 403, and 404 to administrators.

    ``lock``: nobody else changes this user's keys until the transaction ends.
    """
    query = select(USERS).where(USERS.c.tg_id == tg_id)
    found = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if caller.may(ADMIN):
        if found is None:
            raise ProblemError(404, "no-user", "there is no user with this tg_id")
        return found
    if found is None or str(found.id) != caller.user:
        raise ProblemError(403, "not-yours", f"this needs the user itself or the scope {ADMIN}")
    return found


async def make_user(
    connection: AsyncConnection, tg_id: int, email: str | None, now: datetime.datetime
) -> None:
    """Make the user unless there is one; a given email replaces the old one."""
    made = insert(USERS).values(
        id=uuid.uuid4(),
        tg_id=tg_id,
        email=email,
        plan=FREE.name,
        status="active",
        created_at=now,
    )
    if email is None:
        made = made.on_conflict_do_nothing(index_elements=["tg_id"])
    else:
        made = made.on_conflict_do_update(index_elements=["tg_id"], set_={"email": email})
    await connection.execute(made)


async def user_by_id(connection: AsyncConnection, user_id: uuid.UUID) -> Row[Any] | None:
    """The user with billing's own id."""
    query = select(USERS).where(USERS.c.id == user_id)
    return (await connection.execute(query)).one_or_none()
