"""What calc takes and gives, as JSON.

What lives here: requests and answers with their limits and examples. What never does: a formula.
Invariant: amounts have at most 15 digits, two of them after the point, so that also a client that
sends JSON numbers (binary floats on the way) names the amount it means; answers hold amounts as
texts.
"""

import datetime
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from zakupai_calc.formulas import ROUNDING, RiskLevel

_DIGITS: dict[str, Any] = {"max_digits": 15, "decimal_places": 2}
Amount = Annotated[Decimal, Field(gt=0, **_DIGITS, description="Tenge, greater than 0")]
Cost = Annotated[Decimal, Field(ge=0, **_DIGITS, description="Tenge")]
VatRate = Annotated[
    Decimal, Field(ge=0, le=20, max_digits=4, decimal_places=2, description="VAT in percent")
]
DailyRate = Annotated[
    Decimal, Field(ge=0, le=5, max_digits=5, decimal_places=4, description="Percent a day")
]
LotId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Bin = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]
Region = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,100}$")]
Kind = Literal["vat", "margin", "penalty"]


def _example(**members: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [members]})


class VatRequest(BaseModel):
    """``POST /vat``."""

    model_config = _example(amount="112000.00", rate_percent="12", included=True, lot_id=4711)
    amount: Amount
    rate_percent: VatRate = Decimal(12)
    included: bool = True
    lot_id: LotId | None = None


class MarginRequest(BaseModel):
    """``POST /margin``. Lot, supplier and region let ``POST /profit`` find it again."""

    model_config = _example(
        lot_price="1120000.00", cost="700000.00", logistics="50000.00", lot_id=4711
    )
    lot_price: Amount
    cost: Cost
    logistics: Cost = Decimal(0)
    rate_percent: VatRate = Decimal(12)
    price_includes_vat: bool = True
    lot_id: LotId | None = None
    supplier_id: LotId | None = None
    region: Region | None = None


class PenaltyRequest(BaseModel):
    """``POST /penalty``."""

    model_config = _example(
        contract_sum="500000.00", days_overdue=10, daily_rate_percent="0.1", lot_id=4711
    )
    contract_sum: Amount
    days_overdue: Annotated[int, Field(ge=0, le=36500)]
    daily_rate_percent: DailyRate = Decimal("0.1")
    lot_id: LotId | None = None


class ProfitRequest(BaseModel):
    """``POST /profit``."""

    model_config = _example(lot_id=4711, supplier_id=17, region="Almaty")
    lot_id: LotId
    supplier_id: LotId
    region: Region


class RiskScoreRequest(BaseModel):
    """``POST /risk-score``."""

    model_config = _example(bin="123456789012", year=2026)
    bin: Bin
    year: Annotated[int, Field(ge=2015, le=2030)]


class RiskLevelRequest(BaseModel):
    """``POST /risk-level``."""

    model_config = _example(score="4.5")
    score: Annotated[Decimal, Field(ge=0, le=10, max_digits=4, decimal_places=2)]


class Result(BaseModel):
    """What every calculation tells beside its figures."""

    calculation_id: uuid.UUID = Field(description="Under this id it is in the history")
    rounding: Literal["half up to 0.01"] = ROUNDING


class VatResult(Result):
    """``base + vat == total``."""

    base: Decimal
    vat: Decimal
    total: Decimal


class MarginResult(Result):
    """``net - costs == profit``. A percentage of nothing is given as 0."""

    net: Decimal
    vat: Decimal
    costs: Decimal
    profit: Decimal
    margin_percent: Decimal
    roi_percent: Decimal


class PenaltyResult(Result):
    """``contract_sum * daily_rate_percent / 100 * days_overdue``."""

    penalty: Decimal


class ProfitResult(BaseModel):
    """The newest margin that this user calculated for lot, supplier and region."""

    calculation_id: uuid.UUID
    calculated_at: datetime.datetime
    profit: Decimal
    margin_percent: Decimal
    roi_percent: Decimal


class RiskLevelResult(BaseModel):
    """The band of a score."""

    level: RiskLevel


class Calculation(BaseModel):
    """One entry of the history, as it was asked and answered."""

    calculation_id: uuid.UUID
    kind: Kind
    lot_id: int | None
    created_at: datetime.datetime
    request: dict[str, Any]
    result: dict[str, Any]


class History(BaseModel):
    """Newest first. ``next`` is the ``before`` of the next page; null on the last."""

    items: list[Calculation]
    next: uuid.UUID | None
