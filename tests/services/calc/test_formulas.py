"""The formulas: exact sums, stated rounding, bands; against fractions, which never round."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zakupai_calc.formulas import RiskLevel, margin, penalty, risk_level, vat

AMOUNTS = st.decimals(min_value="0.01", max_value="9999999999999.99", places=2)
COSTS = st.decimals(min_value=0, max_value="9999999999999.99", places=2)
RATES = st.decimals(min_value=0, max_value=20, places=2)


def half_up(value: Fraction) -> Decimal:
    """To 0.01, halves away from zero, by whole numbers only."""
    cents = abs(value) * 100
    whole = (2 * cents.numerator + cents.denominator) // (2 * cents.denominator)
    return Decimal(whole if value >= 0 else -whole) / 100


@given(AMOUNTS, RATES)
def test_vat_inside_an_amount_is_what_is_left_of_it_beside_the_rounded_base(
    amount: Decimal, rate: Decimal
) -> None:
    found = vat(amount, rate, included=True)
    assert found.base == half_up(Fraction(amount) / (1 + Fraction(rate) / 100))
    assert found.total == amount
    assert found.base + found.vat == found.total


@given(AMOUNTS, RATES)
def test_vat_on_top_is_the_rounded_part_and_the_total_their_sum(
    amount: Decimal, rate: Decimal
) -> None:
    found = vat(amount, rate, included=False)
    assert found.base == amount
    assert found.vat == half_up(Fraction(amount) * Fraction(rate) / 100)
    assert found.base + found.vat == found.total


@given(AMOUNTS, COSTS, COSTS, RATES, st.booleans())
def test_a_margin_is_net_price_less_costs_in_percent_of_each(
    price: Decimal, cost: Decimal, logistics: Decimal, rate: Decimal, included: bool
) -> None:
    found = margin(price, cost, logistics, rate, price_includes_vat=included)
    assert found.net == vat(price, rate, included=included).base
    assert found.costs == cost + logistics
    assert found.profit == found.net - found.costs
    for percent, whole in ((found.margin_percent, found.net), (found.roi_percent, found.costs)):
        exact = Fraction(found.profit) / Fraction(whole) * 100 if whole else Fraction(0)
        assert percent == half_up(exact)


@given(AMOUNTS, st.integers(0, 36500), st.decimals(min_value=0, max_value=5, places=4))
def test_a_penalty_is_rounded_once_at_its_end(amount: Decimal, days: int, rate: Decimal) -> None:
    assert penalty(amount, days, rate) == half_up(Fraction(amount) * Fraction(rate) / 100 * days)


@pytest.mark.parametrize(
    ("amount", "rate", "included", "expected"),
    [
        ("112.00", "12", True, ("100.00", "12.00", "112.00")),
        ("100.00", "12", False, ("100.00", "12.00", "112.00")),
        ("0.01", "20", True, ("0.01", "0.00", "0.01")),
        ("1.00", "0", True, ("1.00", "0.00", "1.00")),
        ("0.04", "12.50", False, ("0.04", "0.01", "0.05")),  # half a tiyn goes up
    ],
)
def test_known_vat(amount: str, rate: str, included: bool, expected: tuple[str, ...]) -> None:
    found = vat(Decimal(amount), Decimal(rate), included=included)
    assert tuple(str(part) for part in (found.base, found.vat, found.total)) == expected


@pytest.mark.parametrize(
    ("score", "level"),
    [
        ("0", RiskLevel.LOW),
        ("2.99", RiskLevel.LOW),
        ("3", RiskLevel.MEDIUM),
        ("6.99", RiskLevel.MEDIUM),
        ("7", RiskLevel.HIGH),
        ("10", RiskLevel.HIGH),
    ],
)
def test_the_bands_of_a_score(score: str, level: RiskLevel) -> None:
    assert risk_level(Decimal(score)) is level
