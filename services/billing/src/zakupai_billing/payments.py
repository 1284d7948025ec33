"""Payments: announced, then settled once.

What lives here: the statements. What never does: HTTP, or a payment provider.
Invariants: the price is the plan's, never the caller's; a payment is settled once, however often
its confirmation comes, and only a paid one prolongs a plan.
"""

import datetime
import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from zakupai_billing.plans import CURRENCY, PLANS, Plan, paid_until
from zakupai_billing.tables import PAYMENTS, USERS
from zakupai_common.web.errors import ProblemError

_P = PAYMENTS.c


async def announce(
    connection: AsyncConnection,
    user_id: uuid.UUID,
    plan: Plan,
    method: str,
    external_id: str,
    now: datetime.datetime,
) -> Row[Any]:
    """A pending payment; the same call again gives the same one.

    Raises ProblemError 409 when ``external_id`` belongs to another payment.
    """
    made = insert(PAYMENTS).values(
        id=uuid.uuid4(),
        user_id=user_id,
        plan=plan.name,
        amount=plan.price,
        currency=CURRENCY,
        method=method,
        status="pending",
        external_id=external_id,
        created_at=now,
    )
    await connection.execute(made.on_conflict_do_nothing(index_elements=["external_id"]))
    query = select(PAYMENTS).where(_P.external_id == external_id)
    found = (await connection.execute(query)).one()
    if (found.user_id, found.plan, found.method) != (user_id, plan.name, method):
        raise ProblemError(409, "payment-taken", "this external_id belongs to another payment")
    return found


async def read(connection: AsyncConnection, payment_id: uuid.UUID, *, lock: bool) -> Row[Any]:
    """One payment. Raises ProblemError 404."""
    query = select(PAYMENTS).where(_P.id == payment_id)
    result = await connection.execute(query.with_for_update() if lock else query)
    found: Row[Any] | None = result.one_or_none()
    if found is None:
        raise ProblemError(404, "no-payment", "there is no payment with this id")
    return found


async def confirm(
    connection: AsyncConnection,
    payment_id: uuid.UUID,
    amount: Decimal,
    currency: str,
    now: datetime.datetime,
) -> tuple[Row[Any], bool]:
    """The money is there: the plan is prolonged. The payment, and whether this call did it.

    Raises ProblemError 404, and 409 when it is another amount or the payment failed.
    """
    found = await read(connection, payment_id, lock=True)
    if found.status == "failed":
        raise ProblemError(409, "payment-failed", "this payment failed; announce a new one")
    if (amount, currency) != (found.amount, found.currency):
        wanted = f"{found.amount} {found.currency}"
        raise ProblemError(409, "another-amount", f"the payment is one of {wanted}")
    if found.status == "paid":
        return found, False
    query = select(USERS.c.plan_until).where(USERS.c.id == found.user_id).with_for_update()
    until = paid_until(await connection.scalar(query), PLANS[found.plan], now)
    prolonged = update(USERS).where(USERS.c.id == found.user_id)
    await connection.execute(prolonged.values(plan=found.plan, plan_until=until))
    return await _settle(connection, payment_id, "paid", now), True


async def fail(
    connection: AsyncConnection, payment_id: uuid.UUID, now: datetime.datetime
) -> tuple[Row[Any], bool]:
    """The money will not come. Raises ProblemError 404, and 409 when it came."""
    found = await read(connection, payment_id, lock=True)
    if found.status == "paid":
        raise ProblemError(409, "payment-paid", "this payment was paid")
    if found.status == "failed":
        return found, False
    return await _settle(connection, payment_id, "failed", now), True


async def _settle(
    connection: AsyncConnection, payment_id: uuid.UUID, status: str, now: datetime.datetime
) -> Row[Any]:
    settled = update(PAYMENTS).where(_P.id == payment_id).values(status=status, settled_at=now)
    changed: Row[Any] = (await connection.execute(settled.returning(PAYMENTS))).one()
    return changed
