"""How risky a lot is.

What lives here: pure functions from a lot and its market to a score with its reasons. What never
does: I/O, a clock, a float.
Invariants: what cannot be known raises no flag and is named instead, so a low score with unknowns
is not a clean bill; whether the anti-dumping limit is passed is decided before rounding.
"""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from enum import StrEnum

ANTI_DUMPING_LIMIT_PERCENT = Decimal(15)
SHORT_DEADLINE_DAYS = 3
OVER_MARKET = Decimal("1.2")
LONGEST_SCORE = 100
_CENT = Decimal("0.01")
# Prices and quantities have at most 15 digits, a lot 1,000 prices: nothing is rounded early.
_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)


class Flag(StrEnum):
    """Why a lot is risky."""

    SHORT_DEADLINE = "short_deadline"
    OVER_MARKET = "over_market"
    NO_PLAN = "no_plan"
    SUPPLIER_BLOCKED = "supplier_blocked"


POINTS = {
    Flag.SHORT_DEADLINE: 30,
    Flag.OVER_MARKET: 25,
    Flag.NO_PLAN: 10,
    Flag.SUPPLIER_BLOCKED: 35,
}


class RiskLevel(StrEnum):
    """Bands of a score: below 30 low, below 70 medium, else high."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True)
class MarketPrice:
    """What one position of the lot costs on the market, by the piece, in tenge."""

    price: Decimal
    quantity: Decimal


@dataclass(frozen=True)
class Lot:
    """What is known about a lot when it is scored."""

    price: Decimal
    deadline: datetime.datetime | None
    plan_id: int | None
    market: tuple[MarketPrice, ...] = ()


@dataclass(frozen=True)
class Supplier:
    """Who is asked about: ``blocked`` None with ``why`` when the registry cannot say."""

    blocked: bool | None
    why: str


@dataclass(frozen=True)
class Raised:
    """A flag with the figures that raised it."""

    flag: Flag
    points: int
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """``violation`` and ``anti_dumping_percent`` are None when the market is not known."""

    score: int
    level: RiskLevel
    raised: tuple[Raised, ...]
    unknown: dict[Flag, str] = field(default_factory=dict)
    market: Decimal | None = None
    anti_dumping_percent: Decimal | None = None
    violation: bool | None = None


def evaluate(lot: Lot, now: datetime.datetime, supplier: Supplier | None = None) -> Evaluation:
    """Score a lot. ``supplier`` None: nobody was named, so nothing is said about it."""
    with localcontext(_EXACT):
        market = market_sum(lot.market)
        reasons: dict[Flag, str | None] = {
            Flag.SHORT_DEADLINE: _short_deadline(lot.deadline, now),
            Flag.OVER_MARKET: _over_market(lot.price, market),
            Flag.NO_PLAN: "the lot belongs to no plan" if lot.plan_id is None else None,
        }
        unknown: dict[Flag, str] = {}
        if lot.deadline is None:
            unknown[Flag.SHORT_DEADLINE] = "the lot has no deadline"
        if market is None:
            unknown[Flag.OVER_MARKET] = "no market prices are linked to the lot"
        if supplier is not None:
            if supplier.blocked is None:
                unknown[Flag.SUPPLIER_BLOCKED] = supplier.why
            reasons[Flag.SUPPLIER_BLOCKED] = supplier.why if supplier.blocked else None
        raised = tuple(Raised(flag, POINTS[flag], why) for flag, why in reasons.items() if why)
        score = min(LONGEST_SCORE, max(0, sum(one.points for one in raised)))
        percent = None if market is None else anti_dumping(lot.price, market)
        return Evaluation(
            score=score,
            level=level_of(score),
            raised=raised,
            unknown=unknown,
            market=None if market is None else market.quantize(_CENT),
            anti_dumping_percent=None if percent is None else percent.quantize(_CENT),
            violation=None if percent is None else percent > ANTI_DUMPING_LIMIT_PERCENT,
        )


def market_sum(prices: Iterable[MarketPrice]) -> Decimal | None:
    """Price by quantity over all positions; None when that is nothing."""
    with localcontext(_EXACT):
        total = sum((one.price * one.quantity for one in prices), Decimal(0))
        return total if total > 0 else None


def anti_dumping(price: Decimal, market: Decimal) -> Decimal:
    """How far the price lies below the market, in percent, unrounded; 0 when it does not."""
    with localcontext(_EXACT):
        return max(Decimal(0), (market - price) / market * 100)


def level_of(score: int) -> RiskLevel:
    """The band of a score."""
    if score < 30:
        return RiskLevel.LOW
    return RiskLevel.MEDIUM if score < 70 else RiskLevel.HIGH


def _short_deadline(deadline: datetime.datetime | None, now: datetime.datetime) -> str | None:
    if deadline is None or deadline - now > datetime.timedelta(days=SHORT_DEADLINE_DAYS):
        return None
    if deadline <= now:
        return "the deadline has passed"
    hours = int((deadline - now).total_seconds() // 3600)
    return f"{hours} hours are left until the deadline, {SHORT_DEADLINE_DAYS} days are short"


def _over_market(price: Decimal, market: Decimal | None) -> str | None:
    if market is None or price <= OVER_MARKET * market:
        return None
    return f"the price is {(price / market).quantize(_CENT)} times the market"
