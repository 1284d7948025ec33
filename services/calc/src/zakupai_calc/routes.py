"""The routes of calc.

What lives here: from a checked request to a formula, the history and the answer. What never does:
arithmetic.
Invariant: an answer that names a calculation is sent only after the calculation is in the history.
"""

import uuid
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel
from sqlalchemy import Row

from zakupai_calc import formulas, history
from zakupai_calc.models import (
    Calculation,
    History,
    Kind,
    LotId,
    MarginRequest,
    MarginResult,
    PenaltyRequest,
    PenaltyResult,
    ProfitRequest,
    ProfitResult,
    Result,
    RiskLevelRequest,
    RiskLevelResult,
    RiskScoreRequest,
    VatRequest,
    VatResult,
)
from zakupai_common.web.errors import ProblemError, problem_responses
from zakupai_common.web.identity import Caller, CallerDependency
from zakupai_common.web.parts import Parts, PartsDependency

router = APIRouter(tags=["calculations"])


@router.post("/vat", operation_id="vat")
async def vat(asked: VatRequest, parts: PartsDependency, caller: CallerDependency) -> VatResult:
    """VAT inside an amount, or on top of it."""
    found = formulas.vat(asked.amount, asked.rate_percent, included=asked.included)
    answer = VatResult(
        calculation_id=_new_id(parts), base=found.base, vat=found.vat, total=found.total
    )
    await _remember(parts, caller, "vat", asked, answer)
    return answer


@router.post("/margin", operation_id="margin")
async def margin(
    asked: MarginRequest, parts: PartsDependency, caller: CallerDependency
) -> MarginResult:
    """What a lot earns, and in percent of price and costs."""
    found = formulas.margin(
        asked.lot_price,
        asked.cost,
        asked.logistics,
        asked.rate_percent,
        price_includes_vat=asked.price_includes_vat,
    )
    answer = MarginResult(calculation_id=_new_id(parts), **vars(found))
    await _remember(parts, caller, "margin", asked, answer)
    return answer


@router.post("/penalty", operation_id="penalty")
async def penalty(
    asked: PenaltyRequest, parts: PartsDependency, caller: CallerDependency
) -> PenaltyResult:
    """What a late delivery costs."""
    found = formulas.penalty(asked.contract_sum, asked.days_overdue, asked.daily_rate_percent)
    answer = PenaltyResult(calculation_id=_new_id(parts), penalty=found)
    await _remember(parts, caller, "penalty", asked, answer)
    return answer


@router.post("/profit", operation_id="profit", responses=problem_responses(501))
async def profit(
    asked: ProfitRequest, parts: PartsDependency, caller: CallerDependency
) -> ProfitResult:
    """The profit of a lot for a supplier in a region, from the margin calculated for them last.

    501 when none was: there is no other source of a supplier's costs, and none is made up.
    """
    async with parts.database.begin() as connection:
        found = await history.newest_margin(
            connection, caller.user, asked.lot_id, asked.supplier_id, asked.region
        )
    if found is None:
        raise ProblemError(
            501,
            "no-data",
            "no margin was calculated for this lot, supplier and region, and there is no other "
            "source of the supplier's costs: POST /margin with all three first",
        )
    figures = {name: found.results[name] for name in ("profit", "margin_percent", "roi_percent")}
    return ProfitResult(calculation_id=found.id, calculated_at=found.created_at, **figures)


@router.post(
    "/risk-score",
    operation_id="riskScore",
    responses=problem_responses(501),
    status_code=501,
    response_class=Response,
)
async def risk_score(asked: RiskScoreRequest) -> None:
    """Not implemented: calc holds no data about suppliers.

    Lots are scored by the risk engine; ``POST /risk-level`` names the band of a score.
    """
    raise ProblemError(
        501,
        "no-data",
        "calc holds no data about suppliers, so it cannot score one; ask the risk engine",
    )


@router.post("/risk-level", operation_id="riskLevel")
async def risk_level(asked: RiskLevelRequest) -> RiskLevelResult:
    """The band of a score: below 3 low, below 7 medium, else high."""
    return RiskLevelResult(level=formulas.risk_level(asked.score))


@router.get("/history", operation_id="history")
async def read_history(
    parts: PartsDependency,
    caller: CallerDependency,
    lot_id: LotId | None = None,
    before: uuid.UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> History:
    """The caller's calculations, newest first."""
    async with parts.database.begin() as connection:
        rows = await history.page(
            connection, caller.user, lot_id=lot_id, before=before, limit=limit + 1
        )
    items = [_calculation(row) for row in rows[:limit]]
    return History(items=items, next=items[-1].calculation_id if len(rows) > limit else None)


@router.get(
    "/history/{calculation_id}", operation_id="calculation", responses=problem_responses(404)
)
async def read_calculation(
    calculation_id: uuid.UUID, parts: PartsDependency, caller: CallerDependency
) -> Calculation:
    """One calculation of the caller."""
    async with parts.database.begin() as connection:
        row = await history.one(connection, caller.user, calculation_id)
    if row is None:
        raise ProblemError(404, "no-calculation", "you have no calculation under this id")
    return _calculation(row)


def _calculation(row: "Row[Any]") -> Calculation:
    return Calculation(
        calculation_id=row.id,
        kind=cast("Kind", row.kind),
        lot_id=row.lot_id,
        created_at=row.created_at,
        request=row.input,
        result=row.results,
    )


def _new_id(parts: Parts) -> uuid.UUID:
    return history.new_id(parts.clock())


async def _remember(
    parts: Parts,
    caller: Caller,
    kind: Literal["vat", "margin", "penalty"],
    asked: BaseModel,
    answer: Result,
) -> None:
    request = asked.model_dump(mode="json")
    async with parts.database.begin() as connection:
        await history.remember(
            connection,
            calculation_id=answer.calculation_id,
            user=caller.user,
            kind=kind,
            lot_id=request["lot_id"],
            request_id=caller.request_id,
            asked=request,
            answered=answer.model_dump(mode="json", exclude={"calculation_id"}),
            now=parts.clock(),
        )
