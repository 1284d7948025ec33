"""The formulas, in Decimal.

What lives here: pure functions from amounts to results. What never does: HTTP, a database, a float.
Invariant: money is rounded half up to 0.01 once, at the end of each result; parts add up to their
total exactly, because the last part is a difference. Percentages are rounded half up to 0.01.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from enum import StrEnum
from typing import Final

CENT = Decimal("0.01")
HUNDRED = Decimal(100)
ROUNDING: Final = "half up to 0.01"
# Amounts have at most 15 digits and every formula at most two multiplications: nothing is rounded
# before the end.
_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)


@dataclass(frozen=True)
class Vat:
    """``base + vat == total``."""

    base: Decimal
    vat: Decimal
    total: Decimal


@dataclass(frozen=True)
class Margin:
    """``net - costs == profit``. A percentage whose denominator is 0 is 0."""

    net: Decimal
    vat: Decimal
    costs: Decimal
    profit: Decimal
    margin_percent: Decimal
    roi_percent: Decimal


class RiskLevel(StrEnum):
    """Bands of a risk score from 0 to 10."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


def vat(amount: Decimal, rate_percent: Decimal, *, included: bool) -> Vat:
    """Value added tax that is in ``amount``, or comes on top of it."""
    with localcontext(_EXACT):
        if included:
            base = _money(amount / (1 + rate_percent / HUNDRED))
            return Vat(base, amount - base, amount)
        tax = _money(amount * rate_percent / HUNDRED)
        return Vat(amount, tax, amount + tax)


def margin(
    price: Decimal,
    cost: Decimal,
    logistics: Decimal,
    rate_percent: Decimal,
    *,
    price_includes_vat: bool,
) -> Margin:
    """What a lot earns: net price without VAT, less cost and logistics."""
    with localcontext(_EXACT):
        tax = vat(price, rate_percent, included=price_includes_vat)
        costs = cost + logistics
        profit = tax.base - costs
        return Margin(
            net=tax.base,
            vat=tax.vat,
            costs=costs,
            profit=profit,
            margin_percent=_percent(profit, tax.base),
            roi_percent=_percent(profit, costs),
        )


def penalty(contract_sum: Decimal, days_overdue: int, daily_rate_percent: Decimal) -> Decimal:
    """``sum * rate / 100 * days``."""
    with localcontext(_EXACT):
        return _money(contract_sum * daily_rate_percent / HUNDRED * days_overdue)


def risk_level(score: Decimal) -> RiskLevel:
    """Below 3 low, below 7 medium, else high."""
    if score < 3:
        return RiskLevel.LOW
    return RiskLevel.MEDIUM if score < 7 else RiskLevel.HIGH


def _money(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)


def _percent(part: Decimal, whole: Decimal) -> Decimal:
    return _money(part / whole * HUNDRED) if whole else Decimal("0.00")
