"""What must come of the smoke's requests, computed from the requests alone. Pure.

What lives here: the lots that are scored, the ratio they must give, the VAT of an amount. What
never does: a service's own formula; the rules are written again from their description.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

CENT = Decimal("0.01")
VAT_PERCENT = 12
LIMIT_PERCENT = 15


@dataclass(frozen=True)
class Lot:
    """A price, and what the market asks: (price, quantity)."""

    price: str
    market: tuple[tuple[str, str], ...]

    @property
    def violates(self) -> bool | None:
        """More than 15 % below the market; None without one."""
        market = sum((Fraction(one) * Fraction(count) for one, count in self.market), Fraction(0))
        if not market:
            return None
        return (market - Fraction(self.price)) * 100 > LIMIT_PERCENT * market


LOTS = (
    Lot("84.99", (("100", "1"),)),
    Lot("85.00", (("50", "2"),)),  # exactly at the limit
    Lot("849999.99", (("1000000", "1"),)),
    Lot("120", (("33.33", "3"), ("0.01", "1"))),
    Lot("1000", (("10", "120"),)),
    Lot("5", ()),  # no market: counts neither way
)


@dataclass(frozen=True)
class Counted:
    """Lots whose market is known, and how many of them violate."""

    violating: int = 0
    known: int = 0

    def after(self, lots: Sequence[Lot]) -> "Counted":
        """With these scored for the first time."""
        judged = [lot.violates for lot in lots if lot.violates is not None]
        return Counted(self.violating + sum(judged), self.known + len(judged))

    @property
    def ratio(self) -> float | None:
        """Violations per 100 lots; None when of no lot it is known."""
        return float(Fraction(100 * self.violating, self.known)) if self.known else None


def lots_for(before: Counted) -> tuple[Lot, ...]:
    """Lots after which the ratio is another than before: an old sample must not pass for a new."""
    same = before.after(LOTS).ratio == before.ratio
    return (*LOTS, Lot("1", (("1000", "3"),))) if same else LOTS


def base_of(total: Decimal) -> Decimal:
    """What is left of an amount without the VAT inside it, half up to 0.01."""
    exact = total * 100 / (100 + VAT_PERCENT)
    return exact.quantize(CENT, ROUND_HALF_UP)
