"""Routes of plans and payments.

What lives here: from a checked request to the statements, and the answer. What never does: SQL.
Invariant: a user announces and reads its own payments; settling needs the scope ``billing:admin``.
"""

import uuid
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Row

from zakupai_billing import payments
from zakupai_billing.metrics import BillingMetrics
from zakupai_billing.models import ConfirmRequest, Payment, PaymentRequest, PlanInfo
from zakupai_billing.plans import CURRENCY, PLANS
from zakupai_billing.users import ADMIN, user_for
from zakupai_common.web.errors import ProblemError, problem_responses
from zakupai_common.web.identity import CallerDependency, need_scope
from zakupai_common.web.parts import PartsDependency

router = APIRouter(prefix="/billing", tags=["payments"])


@router.get("/plans", operation_id="plans")
async def plans() -> list[PlanInfo]:
    """What can be bought."""
    return [
        PlanInfo(
            name=plan.name,
            requests_per_day=plan.per_day,
            requests_per_hour=plan.per_hour,
            price=plan.price,
            currency=CURRENCY,
            paid_for_days=plan.paid_for.days,
            features=list(plan.features),
        )
        for plan in PLANS.values()
    ]


@router.post("/payments", operation_id="announcePayment", responses=problem_responses(404, 409))
async def announce(
    asked: PaymentRequest, parts: PartsDependency, caller: CallerDependency
) -> Payment:
    """A pending payment; the same call again gives the same one."""
    async with parts.database.begin() as connection:
        user = await user_for(connection, caller, asked.tg_id)
        made = await payments.announce(
            connection,
            user.id,
            PLANS[asked.plan],
            asked.method,
            asked.external_id,
            parts.clock(),
        )
    return _payment(made)


@router.get("/payments/{payment_id}", operation_id="payment", responses=problem_responses(404))
async def read(payment_id: uuid.UUID, parts: PartsDependency, caller: CallerDependency) -> Payment:
    """One payment of the caller."""
    async with parts.database.begin() as connection:
        found = await payments.read(connection, payment_id, lock=False)
    if not caller.may(ADMIN) and str(found.user_id) != caller.user:
        raise ProblemError(404, "no-payment", "there is no payment with this id")
    return _payment(found)


@router.post(
    "/payments/{payment_id}/confirm",
    operation_id="confirmPayment",
    dependencies=[need_scope(ADMIN)],
    responses=problem_responses(404, 409),
)
async def confirm(payment_id: uuid.UUID, asked: ConfirmRequest, parts: PartsDependency) -> Payment:
    """The money arrived: the plan is prolonged, once."""
    async with parts.database.begin() as connection:
        found, settled = await payments.confirm(
            connection, payment_id, asked.amount, asked.currency, parts.clock()
        )
    if settled:
        parts.own(BillingMetrics).transactions.labels("paid").inc()
    return _payment(found)


@router.post(
    "/payments/{payment_id}/fail",
    operation_id="failPayment",
    dependencies=[need_scope(ADMIN)],
    responses=problem_responses(404, 409),
)
async def fail(payment_id: uuid.UUID, parts: PartsDependency) -> Payment:
    """The money will not come."""
    async with parts.database.begin() as connection:
        found, settled = await payments.fail(connection, payment_id, parts.clock())
    if settled:
        parts.own(BillingMetrics).transactions.labels("failed").inc()
    return _payment(found)


def _payment(row: "Row[Any]") -> Payment:
    members = {name: value for name, value in row._mapping.items() if name != "id"}
    return Payment(payment_id=row.id, **members)
