"""The routes about runs and what they brought.

What lives here: from a checked request to a run's state and the answer. What never does: work on a
run; the worker is woken.
Invariant: counts are read from PostgreSQL, so an answer is true whichever process gives it.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from zakupai_common.web.errors import ProblemError, problem_responses
from zakupai_common.web.identity import CallerDependency, need_scope
from zakupai_common.web.parts import PartsDependency
from zakupai_etl.engine import Engine
from zakupai_etl.entities import BY_NAME, ENTITIES, EntityName, Kind
from zakupai_etl.models import (
    Counts,
    Id,
    PartAnswer,
    RecordAnswer,
    RefusedRecord,
    RefusedRecords,
    RunAnswer,
    RunRequest,
    Runs,
)
from zakupai_etl.runs import records, store
from zakupai_etl.runs.plan import PartStatus, Status, plan_window

router = APIRouter(tags=["runs"])
RUN = "etl:run"


@router.post(
    "/runs",
    operation_id="startRun",
    status_code=202,
    dependencies=[need_scope(RUN)],
    responses=problem_responses(409),
)
async def start_run(
    asked: RunRequest, parts: PartsDependency, caller: CallerDependency, response: Response
) -> RunAnswer:
    """Begin a run; it goes on after the answer. Needs the scope ``etl:run``; one at a time."""
    wanted = asked.entities or list(EntityName)
    entities = [entity.name for entity in ENTITIES if entity.name in wanted]
    now = parts.clock()
    try:
        async with parts.database.begin() as connection:
            last_end = await store.last_complete_end(connection, entities)
            window = plan_window(now, asked.days, last_end)
            run_id = await store.begin(
                connection,
                window,
                entities,
                user=caller.user,
                request_id=caller.request_id,
                now=now,
            )
            answer = await _run(connection, run_id)
    except store.RunActiveError:
        raise await _active(parts) from None
    parts.own(Engine).worker.wake()
    response.headers["Location"] = f"/runs/{run_id}"
    return answer


@router.get("/runs", operation_id="listRuns")
async def list_runs(
    parts: PartsDependency,
    before: Id | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Runs:
    """Runs, the newest first."""
    async with parts.database.begin() as connection:
        rows = await store.runs(connection, before, limit + 1)
        items = [_run_answer(row, await store.parts_of(connection, row.id)) for row in rows[:limit]]
    return Runs(items=items, next=items[-1].run_id if len(rows) > limit else None)


@router.get("/runs/{run_id}", operation_id="getRun", responses=problem_responses(404))
async def get_run(run_id: Id, parts: PartsDependency) -> RunAnswer:
    """How far a run is, and how it ended."""
    async with parts.database.begin() as connection:
        return await _run(connection, run_id)


@router.post(
    "/runs/{run_id}/resume",
    operation_id="resumeRun",
    status_code=202,
    dependencies=[need_scope(RUN)],
    responses=problem_responses(404, 409),
)
async def resume_run(run_id: Id, parts: PartsDependency) -> RunAnswer:
    """Go on with an ended run whose parts are not all done. Needs the scope ``etl:run``."""
    try:
        async with parts.database.begin() as connection:
            await _run(connection, run_id)
            if not await store.resume(connection, run_id, parts.clock()):
                raise ProblemError(409, "run-complete", "every part of this run is done")
            answer = await _run(connection, run_id)
    except store.RunActiveError:
        raise await _active(parts) from None
    parts.own(Engine).worker.wake()
    return answer


@router.post(
    "/runs/{run_id}/cancel",
    operation_id="cancelRun",
    dependencies=[need_scope(RUN)],
    responses=problem_responses(404, 409),
)
async def cancel_run(run_id: Id, parts: PartsDependency) -> RunAnswer:
    """Nothing more is written for it; it can be resumed. Needs the scope ``etl:run``."""
    async with parts.database.begin() as connection:
        await _run(connection, run_id)
        if not await store.cancel(connection, run_id, parts.clock()):
            raise ProblemError(409, "run-ended", "this run has ended already")
        return await _run(connection, run_id)


@router.get(
    "/runs/{run_id}/refused/{entity}",
    operation_id="refusedRecords",
    responses=problem_responses(404),
)
async def refused_records(
    run_id: Id,
    entity: EntityName,
    parts: PartsDependency,
    after: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> RefusedRecords:
    """Records of a run that are not stored, with the reasons."""
    async with parts.database.begin() as connection:
        await _run(connection, run_id)
        rows = await store.refusals(connection, run_id, entity.value, after, limit + 1)
    items = [
        RefusedRecord(
            number=row.number, record_id=row.record_id, reason=row.reason, record=row.record
        )
        for row in rows[:limit]
    ]
    return RefusedRecords(items=items, next=items[-1].number if len(rows) > limit else None)


@router.get(
    "/records/{entity}/{record_id}", operation_id="getRecord", responses=problem_responses(404)
)
async def get_record(entity: EntityName, record_id: Id, parts: PartsDependency) -> RecordAnswer:
    """One record of goszakup, and which of its BINs are among the unscrupulous now."""
    found = BY_NAME[entity.value]
    async with parts.database.begin() as connection:
        row = await records.one(connection, found, record_id)
        if row is None:
            raise ProblemError(404, "no-record", "there is no record under this id")
        values = {field.column: getattr(row, field.column) for field in found.fields}
        numbers = {values[field.column] for field in found.fields if field.kind is Kind.BIN}
        listed = await records.listed(connection, sorted(numbers - {None}), parts.clock())
    return RecordAnswer(
        entity=entity,
        record_id=row.id,
        values=values,
        listed=sorted(listed),
        first_run_id=row.first_run_id,
        changed_run_id=row.changed_run_id,
        changed_at=row.changed_at,
    )


async def _run(connection: AsyncConnection, run_id: int) -> RunAnswer:
    row = await store.run(connection, run_id)
    if row is None:
        raise ProblemError(404, "no-run", "there is no run under this id")
    return _run_answer(row, await store.parts_of(connection, run_id))


def _run_answer(row: Row[Any], parts: Sequence[Row[Any]]) -> RunAnswer:
    totals = {name: sum(getattr(part, name) for part in parts) for name in store.COUNTS}
    undone = any(part.status != PartStatus.DONE.value for part in parts)
    return RunAnswer(
        run_id=row.id,
        status=Status(row.status),
        window_from=row.window_from,
        window_to=row.window_to,
        requested_by=row.user_id,
        started_at=row.started_at,
        moved_at=row.moved_at,
        ended_at=row.ended_at,
        waiting_for=row.waiting_for,
        waiting_until=row.waiting_until,
        totals=Counts(**totals),
        parts=[_part_answer(part) for part in parts],
        resumable=undone and row.status != Status.RUNNING.value,
    )


def _part_answer(part: Row[Any]) -> PartAnswer:
    return PartAnswer(
        entity=EntityName(part.entity),
        status=PartStatus(part.status),
        cursor=part.cursor,
        pages=part.pages,
        expected=part.expected,
        failure=part.failure,
        **{name: getattr(part, name) for name in store.COUNTS},
    )


async def _active(parts: PartsDependency) -> ProblemError:
    async with parts.database.begin() as connection:
        run_id = await store.active(connection)
    return ProblemError(409, "run-active", "a run is under way already", run_id=run_id)
