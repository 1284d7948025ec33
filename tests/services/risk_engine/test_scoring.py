"""The score of a lot: what raises it, what is not known, and where the limits are exactly."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zakupai_risk_engine.scoring import (
    POINTS,
    Evaluation,
    Flag,
    Lot,
    MarketPrice,
    RiskLevel,
    Supplier,
    evaluate,
    level_of,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FAR = NOW + timedelta(days=30)


def market(*prices: tuple[str, str]) -> tuple[MarketPrice, ...]:
    return tuple(MarketPrice(Decimal(price), Decimal(count)) for price, count in prices)


def lot(
    price: str = "100",
    deadline: datetime | None = FAR,
    plan: int | None = 1,
    prices: tuple[MarketPrice, ...] = market(("100", "1")),
) -> Lot:
    return Lot(Decimal(price), deadline, plan, prices)


def flags(found: Evaluation) -> set[Flag]:
    return {one.flag for one in found.raised}


def test_an_ordinary_lot_raises_nothing() -> None:
    found = evaluate(lot(), NOW)
    assert found == Evaluation(
        0, RiskLevel.LOW, (), {}, Decimal("100.00"), Decimal("0.00"), violation=False
    )


@pytest.mark.parametrize(
    ("left", "raised"),
    [
        (timedelta(days=3, microseconds=1), False),
        (timedelta(days=3), True),
        (timedelta(hours=1), True),
        (timedelta(0), True),
        (-timedelta(days=9), True),
    ],
)
def test_three_days_are_a_short_deadline(left: timedelta, raised: bool) -> None:
    found = evaluate(lot(deadline=NOW + left), NOW)
    assert flags(found) == ({Flag.SHORT_DEADLINE} if raised else set())
    assert found.score == (30 if raised else 0)


@pytest.mark.parametrize(("price", "raised"), [("120", False), ("120.01", True)])
def test_more_than_six_fifths_of_the_market_is_too_much(price: str, raised: bool) -> None:
    found = evaluate(lot(price), NOW)
    assert flags(found) == ({Flag.OVER_MARKET} if raised else set())


def test_a_lot_without_a_plan_is_flagged() -> None:
    assert flags(evaluate(lot(plan=None), NOW)) == {Flag.NO_PLAN}


@pytest.mark.parametrize(
    ("supplier", "raised", "unknown"),
    [
        (None, False, False),
        (Supplier(False, "ACTIVE"), False, False),
        (Supplier(True, "BLACKLISTED"), True, False),
        (Supplier(None, "no answer"), False, True),
    ],
)
def test_a_supplier_is_flagged_only_when_the_registry_says_so(
    supplier: Supplier | None, raised: bool, unknown: bool
) -> None:
    found = evaluate(lot(), NOW, supplier)
    assert (Flag.SUPPLIER_BLOCKED in flags(found)) is raised
    assert (Flag.SUPPLIER_BLOCKED in found.unknown) is unknown


@pytest.mark.parametrize("prices", [(), market(("0", "5"))])
def test_without_a_market_nothing_is_made_up(prices: tuple[MarketPrice, ...]) -> None:
    found = evaluate(lot("1", prices=prices), NOW)
    assert (found.market, found.anti_dumping_percent, found.violation) == (None, None, None)
    assert Flag.OVER_MARKET in found.unknown
    assert found.score == 0


def test_without_a_deadline_it_is_neither_short_nor_long() -> None:
    found = evaluate(lot(deadline=None), NOW)
    assert found.score == 0
    assert Flag.SHORT_DEADLINE in found.unknown


def test_everything_wrong_is_the_whole_score() -> None:
    found = evaluate(lot("121", NOW, None), NOW, Supplier(True, "BLOCKED"))
    assert (found.score, found.level) == (100, RiskLevel.HIGH)
    assert sum(POINTS.values()) == 100


@pytest.mark.parametrize(
    ("score", "level"),
    [(0, "low"), (29, "low"), (30, "medium"), (69, "medium"), (70, "high"), (100, "high")],
)
def test_the_bands_of_a_score(score: int, level: str) -> None:
    assert level_of(score).value == level


@pytest.mark.parametrize(
    ("price", "prices", "percent", "violation"),
    [
        ("85", market(("100", "1")), "15.00", False),
        ("84.99", market(("100", "1")), "15.01", True),
        ("849999.99", market(("1000000", "1")), "15.00", True),  # 15.000001: decided unrounded
        ("150", market(("100", "1")), "0.00", False),
        ("0.01", market(("33.33", "3"), ("0.01", "1")), "99.99", True),
    ],
)
def test_anti_dumping_is_how_far_the_price_lies_below_the_market(
    price: str, prices: tuple[MarketPrice, ...], percent: str, violation: bool
) -> None:
    found = evaluate(lot(price, prices=prices), NOW)
    assert found.anti_dumping_percent == Decimal(percent)
    assert found.violation is violation


amounts = st.decimals("0.01", "9999999999999.99", places=2)
counts = st.decimals("0.001", "999999999999.999", places=3)


@given(amounts, st.lists(st.tuples(amounts, counts), min_size=1, max_size=20))
def test_the_limit_is_decided_as_exact_fractions_decide_it(
    price: Decimal, prices: list[tuple[Decimal, Decimal]]
) -> None:
    found = evaluate(
        Lot(price, FAR, 1, tuple(MarketPrice(one, count) for one, count in prices)), NOW
    )
    whole = sum((Fraction(one) * Fraction(count) for one, count in prices), Fraction(0))
    exact = (whole - Fraction(price)) / whole * 100
    assert found.violation is (exact > 15)
    assert found.anti_dumping_percent is not None
    assert abs(Fraction(found.anti_dumping_percent) - max(exact, Fraction(0))) <= Fraction(1, 200)
    assert (Flag.OVER_MARKET in flags(found)) is (Fraction(price) > Fraction(6, 5) * whole)
