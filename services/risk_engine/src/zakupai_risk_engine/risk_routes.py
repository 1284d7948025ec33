"""The routes about lots.

What lives here: from a checked request to the lot, its score and the answer. What never does: a
rule of the score.
Invariant: an evaluation is answered, and counted in the metrics, only after it is kept.
"""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Row

from zakupai_common.goszakup import GoszakupError
from zakupai_common.web.errors import ProblemError, problem_responses
from zakupai_common.web.identity import CallerDependency, need_scope
from zakupai_common.web.parts import PartsDependency
from zakupai_risk_engine import lots
from zakupai_risk_engine.engine import Engine
from zakupai_risk_engine.lots import LinkedPrice, LotRecord
from zakupai_risk_engine.models import (
    EvaluationAnswer,
    LinkedPriceBody,
    LotAnswer,
    LotBody,
    LotId,
    RaisedFlag,
    ScoreRequest,
)
from zakupai_risk_engine.scoring import Flag, RiskLevel, Supplier, evaluate

router = APIRouter(prefix="/risk", tags=["lots"])
WRITE = "risk:write"


@router.put("/lots/{lot_id}", operation_id="putLot", dependencies=[need_scope(WRITE)])
async def put_lot(lot_id: LotId, body: LotBody, parts: PartsDependency) -> LotAnswer:
    """Keep a lot with the market prices linked to it. Needs the scope ``risk:write``."""
    lot = LotRecord(
        id=lot_id,
        title=body.title,
        price=body.price,
        deadline=body.deadline,
        customer_bin=body.customer_bin,
        plan_id=body.plan_id,
        prices=tuple(LinkedPrice(one.source, one.price, one.quantity) for one in body.prices),
    )
    async with parts.database.begin() as connection:
        await lots.put(connection, lot, parts.clock())
        kept = await lots.get(connection, lot_id)
    return _lot_answer(kept or lot)


@router.get("/lots/{lot_id}", operation_id="getLot", responses=problem_responses(404))
async def get_lot(lot_id: LotId, parts: PartsDependency) -> LotAnswer:
    """A lot as it is kept."""
    async with parts.database.begin() as connection:
        lot = await lots.get(connection, lot_id)
    if lot is None:
        raise _no_lot()
    return _lot_answer(lot)


@router.post("/score", operation_id="score", responses=problem_responses(404))
async def score(
    asked: ScoreRequest, parts: PartsDependency, caller: CallerDependency
) -> EvaluationAnswer:
    """Score a lot now, keep the evaluation, say why."""
    engine = parts.own(Engine)
    async with parts.database.begin() as connection:
        if await lots.get(connection, asked.lot_id) is None:
            raise _no_lot()
    supplier = await _supplier(engine, asked.supplier_bin)
    async with parts.database.begin() as connection:
        lot = await lots.get(connection, asked.lot_id, lock=True)
        if lot is None:
            raise _no_lot()
        now = parts.clock()
        found = evaluate(lot.to_score(), now, supplier)
        evaluation_id = await lots.remember(
            connection,
            lot.id,
            found,
            {
                "supplier_bin": asked.supplier_bin,
                "price": str(lot.price),
                "prices": len(lot.prices),
            },
            user=caller.user,
            request_id=caller.request_id,
            now=now,
        )
    engine.metrics.assessed(found)
    return EvaluationAnswer(
        evaluation_id=evaluation_id,
        lot_id=lot.id,
        score=found.score,
        risk_level=found.level,
        flags=[RaisedFlag(**asdict(one)) for one in found.raised],
        unknown=found.unknown,
        complete=not found.unknown,
        market=found.market,
        anti_dumping_percent=found.anti_dumping_percent,
        anti_dumping_violation=found.violation,
        evaluated_at=now,
    )


@router.get("/explain/{lot_id}", operation_id="explain", responses=problem_responses(404))
async def explain(lot_id: LotId, parts: PartsDependency) -> EvaluationAnswer:
    """The newest evaluation of a lot, with its reasons."""
    async with parts.database.begin() as connection:
        row = await lots.last_evaluation(connection, lot_id)
    if row is None:
        raise ProblemError(404, "not-evaluated", "this lot was never scored: POST /risk/score")
    return _evaluation_answer(row)


async def _supplier(engine: Engine, number: str | None) -> Supplier | None:
    if number is None:
        return None
    try:
        state = (await engine.validator.validate(number)).checked.state
    except GoszakupError:
        return Supplier(None, "the registry gives no answer")
    if state.blocked is None:
        return Supplier(None, "the registry does not know the supplier")
    return Supplier(state.blocked, f"the supplier is {state.value} in the registry")


def _no_lot() -> ProblemError:
    return ProblemError(404, "no-lot", "there is no lot under this id")


def _lot_answer(lot: LotRecord) -> LotAnswer:
    return LotAnswer(
        lot_id=lot.id,
        title=lot.title,
        price=lot.price,
        deadline=lot.deadline,
        customer_bin=lot.customer_bin,
        plan_id=lot.plan_id,
        prices=[LinkedPriceBody(**asdict(one)) for one in lot.prices],
    )


def _evaluation_answer(row: "Row[Any]") -> EvaluationAnswer:
    return EvaluationAnswer(
        evaluation_id=row.id,
        lot_id=row.lot_id,
        score=row.score,
        risk_level=RiskLevel(row.risk_level),
        flags=[RaisedFlag(**one) for one in row.flags],
        unknown={Flag(flag): why for flag, why in row.unknown.items()},
        complete=not row.unknown,
        market=row.market,
        anti_dumping_percent=row.anti_dumping_percent,
        anti_dumping_violation=row.violation,
        evaluated_at=row.evaluated_at,
    )
