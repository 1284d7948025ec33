"""What risk-engine takes and gives, as JSON.

What lives here: requests and answers with their limits and examples. What never does: a rule.
Invariant: amounts have at most 15 digits, two of them after the point, so that also a client that
sends JSON numbers names the amount it means; answers hold amounts as texts.
"""

import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from zakupai_risk_engine.rnu.states import State
from zakupai_risk_engine.scoring import Flag, RiskLevel

_DIGITS: dict[str, Any] = {"max_digits": 15, "decimal_places": 2}
LotId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Bin = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$"), Field(examples=["123456789012"])]
UserId = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$")]
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,500}$")]
Deadline = Annotated[
    AwareDatetime,
    Field(ge=datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)),
    Field(le=datetime.datetime(2200, 1, 1, tzinfo=datetime.UTC)),
]


def _example(**members: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [members]})


class LinkedPriceBody(BaseModel):
    """What one position costs on the market, by the piece."""

    model_config = _example(source="catalogue 17", price="950000.00", quantity="1")
    source: Line
    price: Annotated[Decimal, Field(ge=0, **_DIGITS, description="Tenge")]
    quantity: Annotated[Decimal, Field(gt=0, max_digits=15, decimal_places=3)]


class LotBody(BaseModel):
    """``PUT /risk/lots/{lot_id}``: the whole lot; prices that are not named are unlinked."""

    model_config = _example(
        title="Laptops",
        price="800000.00",
        deadline="2026-12-01T18:00:00+05:00",
        customer_bin="123456789012",
        plan_id=77,
        prices=[{"source": "catalogue 17", "price": "950000.00", "quantity": "1"}],
    )
    title: Line
    price: Annotated[Decimal, Field(gt=0, **_DIGITS, description="Tenge, greater than 0")]
    deadline: Deadline | None = None
    customer_bin: Bin
    plan_id: LotId | None = None
    prices: Annotated[list[LinkedPriceBody], Field(max_length=1000)] = []


class LotAnswer(BaseModel):
    """A lot as it is kept."""

    lot_id: int
    title: str
    price: Decimal
    deadline: datetime.datetime | None
    customer_bin: str
    plan_id: int | None
    prices: list[LinkedPriceBody]


class ScoreRequest(BaseModel):
    """``POST /risk/score``; with a supplier, the registry is asked about it."""

    model_config = _example(lot_id=4711, supplier_bin="123456789012")
    lot_id: LotId
    supplier_bin: Bin | None = None


class RaisedFlag(BaseModel):
    """Why the score is what it is."""

    flag: Flag
    points: int
    reason: str


class EvaluationAnswer(BaseModel):
    """``complete`` false: something in ``unknown`` could not be judged; it raised no flag."""

    evaluation_id: int
    lot_id: int
    score: Annotated[int, Field(ge=0, le=100)]
    risk_level: RiskLevel
    flags: list[RaisedFlag]
    unknown: dict[Flag, str]
    complete: bool
    market: Decimal | None = Field(description="Price by quantity over the linked prices, tenge")
    anti_dumping_percent: Decimal | None = Field(
        description="How far below the market; null: no market"
    )
    anti_dumping_violation: bool | None = Field(description="More than 15 percent")
    evaluated_at: datetime.datetime


class ValidationAnswer(BaseModel):
    """``GET /validate_rnu/{bin}``. ``blocked`` is null when the registry does not know."""

    bin: str
    state: State
    blocked: bool | None
    checked_at: datetime.datetime
    source: Literal["redis", "postgresql", "registry"]


class SubscribeRequest(BaseModel):
    """``POST /rnu/subscribe``: for the caller. The chat must have started the bot."""

    model_config = _example(bin="123456789012", chat_id=100200300)
    bin: Bin
    chat_id: Annotated[int, Field(ge=-(2**52), le=2**52, description="Telegram's id of the chat")]


class SubscriptionAnswer(BaseModel):
    """``known_state`` null: not checked yet; the first check will be told."""

    bin: str
    chat_id: int
    known_state: State | None
    checked_at: datetime.datetime | None


class Subscription(SubscriptionAnswer):
    """One entry of the list."""

    since: datetime.datetime


class Undelivered(BaseModel):
    """A change that Telegram has not taken for sure."""

    bin: str
    old_state: State | None
    new_state: State
    observed_at: datetime.datetime
    status: Literal["waiting", "sending", "failed"]
    tries: int
    may_have_arrived: bool
    failure: str | None


class Subscriptions(BaseModel):
    """``GET /rnu/subscriptions/{user}``; the newest 100 undelivered messages."""

    items: list[Subscription]
    limit: int
    undelivered: list[Undelivered]
