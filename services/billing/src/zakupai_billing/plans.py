"""What can be bought, and what it allows.

What lives here: the plans, and which one counts for a user now. What never does: a database.
Invariant: limits are per user, not per key, so more keys give no more requests.
"""

import datetime
from dataclasses import dataclass
from decimal import Decimal

CURRENCY = "KZT"


@dataclass(frozen=True)
class Plan:
    """Limits count in windows that begin at the full hour and at midnight, UTC."""

    name: str
    per_day: int
    per_hour: int
    price: Decimal
    paid_for: datetime.timedelta
    features: tuple[str, ...]


FREE = Plan("free", 100, 20, Decimal("0.00"), datetime.timedelta(), ())
PREMIUM = Plan(
    "premium",
    5000,
    500,
    Decimal("10000.00"),
    datetime.timedelta(days=30),
    ("pdf_export", "risk_scoring", "doc_generation"),
)
PLANS = {plan.name: plan for plan in (FREE, PREMIUM)}


def plan_now(name: str, until: datetime.datetime | None, now: datetime.datetime) -> Plan:
    """The plan that counts: a paid one ends by itself."""
    if until is not None and now >= until:
        return FREE
    return PLANS[name]


def paid_until(
    until: datetime.datetime | None, plan: Plan, now: datetime.datetime
) -> datetime.datetime:
    """The end after one more payment: what is left is not lost."""
    return max(until or now, now) + plan.paid_for
