"""Runs: what they bring, how they count, what stops them and what does not."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from launcher.goszakup import record, time_text
from launcher.outside import Act, Outside, World, cut, garbage, status
from tests.services.etl.conftest import NOW
from tests.services.etl.running import (
    act,
    begin,
    complete,
    counted,
    kept,
    metric,
    part,
    refused,
    state,
    until,
    worker_of,
)
from tests.support.service_stand import Backing, Stand
from zakupai_common.vault.errors import StaleSecretError
from zakupai_etl.engine import Engine
from zakupai_etl.entities import BY_NAME
from zakupai_etl.runs import store
from zakupai_etl.runs.plan import FAILURES, Wait
from zakupai_etl.runs.store import Claimed, LostError


def asked_after(world: World, root: str) -> list[int]:
    """The cursors that were asked for."""
    bodies = [json.loads(one.body) for one in world.asked_for("graphql")]
    return [one["variables"]["after"] for one in bodies if f" {root}(" in one["query"]]


def page(root: str, records: list[Any], **info: Any) -> Act:
    """An answer made by hand."""
    told = {"hasNextPage": False, "lastId": 0, "totalCount": len(records), **info}
    content = {"data": {root: records}, "extensions": {"pageInfo": told}}
    return status(200, json.dumps(content).encode())


async def test_a_run_brings_every_page_of_every_entity(etl: Stand, world: World) -> None:
    run = await complete(etl)
    assert run["status"] == "success"
    assert [one["entity"] for one in run["parts"]] == [
        "rnu",
        "subjects",
        "trd_buy",
        "lots",
        "contracts",
    ]
    assert counted(run, "trd_buy") == (7, 7, 0, 0, 0)
    assert counted(run, "lots") == (4, 4, 0, 0, 0)
    assert counted(run, "subjects") == (0, 0, 0, 0, 0)
    assert await kept(etl, "trd_buy") == [10, 20, 30, 40, 50, 60, 70]
    assert (part(run, "trd_buy")["pages"], part(run, "trd_buy")["expected"]) == (3, 7)
    assert asked_after(world, "TrdBuy") == [0, 30, 60]
    assert run["totals"] == {
        "read": 12,
        "inserted": 12,
        "updated": 0,
        "unchanged": 0,
        "refused": 0,
    }


async def test_a_record_is_kept_as_it_came(etl: Stand, world: World) -> None:
    world.records["Lots"] = [
        record("Lots", 7, NOW, amount=710338.80000000005, customerBin=740001307)
    ]
    world.records["Rnu"] = [record("Rnu", 1, NOW, supplierBiin="000740001307")]
    run = await complete(etl)
    answer = (await etl.call("GET", "/records/lots/7")).json()
    assert answer["values"]["amount"] == "710338.80"
    assert answer["values"]["customer_bin"] == "000740001307"
    assert answer["values"]["last_update_date"] == NOW.isoformat().replace("+00:00", "Z")
    assert answer["listed"] == ["000740001307"]
    assert answer["first_run_id"] == answer["changed_run_id"] == run["run_id"]
    world.records["Rnu"][0]["endDate"] = time_text(NOW - timedelta(days=1))
    await complete(etl)
    assert (await etl.call("GET", "/records/lots/7")).json()["listed"] == []
    assert (await etl.call("GET", "/records/lots/8")).status_code == 404


async def test_a_second_run_counts_what_changed_and_what_did_not(etl: Stand, world: World) -> None:
    await complete(etl)
    world.records["TrdBuy"][0]["nameRu"] = "Мониторы"
    world.records["TrdBuy"].append(record("TrdBuy", 80, NOW))
    run = await complete(etl)
    assert counted(run, "trd_buy") == (8, 1, 1, 6, 0)
    answer = (await etl.call("GET", "/records/trd_buy/10")).json()
    assert (answer["values"]["name"], answer["changed_run_id"]) == ("Мониторы", run["run_id"])
    assert answer["first_run_id"] < run["run_id"]
    results = {
        name: await metric(etl, "etl_records_processed_total", entity="trd_buy", result=name)
        for name in ("inserted", "updated", "unchanged", "refused")
    }
    assert results == {"inserted": 8, "updated": 1, "unchanged": 6, "refused": 0}


async def test_a_run_without_days_goes_on_where_the_last_complete_one_ended(etl: Stand) -> None:
    first = await complete(etl, days=None)
    assert first["window_from"] == "2026-11-15T12:00:00Z"
    etl.parts.clock = lambda: NOW + timedelta(days=3)
    second = await complete(etl, days=None)
    assert second["window_from"] == "2026-11-22T11:00:00Z"
    etl.parts.clock = lambda: NOW + timedelta(days=30)
    gap = await complete(etl, days=1)
    assert gap["status"] == "success"
    third = await complete(etl, days=None)
    assert third["window_from"] == "2026-11-25T11:00:00Z"


async def test_only_what_changed_in_the_window_is_asked_for(etl: Stand, world: World) -> None:
    world.records["TrdBuy"].append(record("TrdBuy", 5, NOW - timedelta(days=8)))
    run = await complete(etl, entities=["trd_buy"])
    assert 5 not in await kept(etl, "trd_buy")
    assert counted(run, "trd_buy") == (7, 7, 0, 0, 0)


async def test_refused_records_are_counted_and_kept_with_their_reasons(
    etl: Stand, world: World
) -> None:
    lots = world.records["Lots"]
    lots[0]["amount"] = "many"
    lots[1]["lotNumber"] = None
    lots[2] = {**record("Lots", 30, NOW), "id": None, "_place": 30}
    run = await complete(etl, entities=["lots"])
    assert run["status"] == "partial_success"
    assert counted(run, "lots") == (4, 1, 0, 0, 3)
    assert await kept(etl, "lots") == [40]
    found = await refused(etl, run, "lots")
    assert [(one["record_id"], one["reason"]) for one in found] == [
        ("10", "amount: is not what it must be"),
        ("20", "lotNumber: is missing"),
        (None, "id: is missing"),
    ]
    assert "'amount': 'many'" in found[0]["record"]
    assert await metric(etl, "etl_records_processed_total", entity="lots", result="refused") == 3


async def test_a_record_that_postgresql_refuses_takes_no_other_with_it(
    etl: Stand, world: World
) -> None:
    async with etl.parts.database.begin() as connection:
        await connection.execute(text("ALTER TABLE lots ADD CONSTRAINT t CHECK (id <> 20)"))
    try:
        run = await complete(etl, entities=["lots"])
    finally:
        async with etl.parts.database.begin() as connection:
            await connection.execute(text("ALTER TABLE lots DROP CONSTRAINT t"))
    assert counted(run, "lots") == (4, 3, 0, 0, 1)
    assert run["status"] == "partial_success"
    assert [(one["record_id"], one["reason"]) for one in await refused(etl, run, "lots")] == [
        ("20", "PostgreSQL refuses it: CheckViolation")
    ]


async def test_of_two_runs_at_once_one_is_refused(etl: Stand) -> None:
    answers = await asyncio.gather(
        *(etl.call("POST", "/runs", scopes=["etl:run"], json={"days": 1}) for _ in range(5))
    )
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [202, 409, 409, 409, 409]
    begun = next(answer for answer in answers if answer.status_code == 202)
    assert begun.headers["location"] == f"/runs/{begun.json()['run_id']}"
    refused_one = next(answer for answer in answers if answer.status_code == 409).json()
    assert refused_one["type"] == "urn:zakupai:problem:run-active"
    assert refused_one["run_id"] == begun.json()["run_id"]


async def test_of_two_workers_one_works(etl: Stand, world: World) -> None:
    await begin(etl)
    found = await asyncio.gather(*(worker_of(etl).once() for _ in range(4)))
    assert [one for one in found if one is not None] == ["success"]
    assert asked_after(world, "TrdBuy") == [0, 30, 60]


async def test_a_worker_that_lost_its_run_writes_nothing_more(etl: Stand, world: World) -> None:
    """Its lock is gone with its session, another has taken the run over."""
    run = await begin(etl, entities=["trd_buy"])
    goszakup = etl.parts.own(Engine).goszakup
    ask, others = goszakup.post, []

    async def taken_over(*asked: Any) -> Any:
        answer = await ask(*asked)
        if not others:
            others.append(True)
            async with etl.parts.database.begin() as connection:
                await connection.execute(text("UPDATE runs SET owner = gen_random_uuid()"))
        return answer

    goszakup.post = taken_over  # type: ignore[method-assign]
    assert await worker_of(etl).once() is None
    assert await kept(etl, "trd_buy") == []
    assert (await state(etl, run))["totals"]["read"] == 0
    assert await worker_of(etl).once() == "success"
    assert counted(await state(etl, run), "trd_buy") == (7, 7, 0, 0, 0)


async def test_who_lost_a_run_neither_fails_nor_ends_nor_waits_for_it(etl: Stand) -> None:
    run = await begin(etl, entities=["trd_buy"])

    async def claim() -> Claimed:
        async with etl.parts.database.begin() as connection:
            claimed = await store.claim(connection, NOW)
        assert claimed is not None
        return claimed

    lost, _ = await claim(), await claim()
    before, wait = await state(etl, run), Wait(60.0, "rate_limited", failure=False)
    writes: tuple[Callable[[AsyncConnection], Awaitable[object]], ...] = (
        lambda connection: store.fail_part(connection, lost, BY_NAME["trd_buy"], "timeout", NOW),
        lambda connection: store.note_wait(connection, lost, wait, NOW),
        lambda connection: store.end(connection, lost, NOW),
    )
    for write in writes:
        with pytest.raises(LostError):
            async with etl.parts.database.begin() as connection:
                await write(connection)
    assert await state(etl, run) == before


async def test_what_a_cancelled_run_kept_last_is_counted(
    etl: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, part_of, looked = await begin(etl, entities=["trd_buy"]), store.part_of, []

    async def cancelled_behind_the_first_page(*told: Any, lock: bool = False) -> Any:
        looked.append(lock)
        if looked == [False, True, False]:
            await act(etl, run, "cancel", 200)
        return await part_of(*told, lock=lock)

    monkeypatch.setattr(store, "part_of", cancelled_behind_the_first_page)
    assert await worker_of(etl).once() is None
    assert counted(await state(etl, run), "trd_buy") == (3, 3, 0, 0, 0)
    name, labels = "etl_records_processed_total", {"entity": "trd_buy", "result": "inserted"}
    assert await metric(etl, name, **labels) == 3


async def test_a_cancelled_run_stops_and_can_be_resumed(etl: Stand, world: World) -> None:
    run = await begin(etl, entities=["trd_buy"])
    goszakup = etl.parts.own(Engine).goszakup
    ask = goszakup.post

    async def cancelled(*asked: Any) -> Any:
        answer = await ask(*asked)
        if asked[2]["variables"]["after"] == 30:
            await act(etl, run, "cancel", 200)
        return answer

    goszakup.post = cancelled  # type: ignore[method-assign]
    assert await worker_of(etl).once() is None
    found = await state(etl, run)
    assert (found["status"], found["resumable"]) == ("cancelled", True)
    assert counted(found, "trd_buy") == (3, 3, 0, 0, 0)
    assert (await act(etl, run, "cancel", 409))["type"] == "urn:zakupai:problem:run-ended"
    goszakup.post = ask  # type: ignore[method-assign]
    await act(etl, run, "resume", 202)
    assert await worker_of(etl).once() == "success"
    assert counted(await state(etl, run), "trd_buy") == (7, 7, 0, 0, 0)
    assert asked_after(world, "TrdBuy") == [0, 30, 30, 60]
    assert (await act(etl, run, "resume", 409))["type"] == "urn:zakupai:problem:run-complete"
    inserted = await metric(etl, "etl_records_processed_total", entity="trd_buy", result="inserted")
    assert inserted == 7


@pytest.mark.parametrize(
    "acts",
    [
        [status(500)],
        [cut, garbage],
        [status(200, b"<html>")],
        [status(200, b'{"errors": [{"message": "Internal server error"}]}')],
        [page("TrdBuy", [record("TrdBuy", 10, NOW)], hasNextPage=True, lastId=0)],
        [page("TrdBuy", [], hasNextPage=True, lastId=99)],
        [status(200, b'{"data": {"TrdBuy": []}}')],
        [status(200, b'{"data": null, "extensions": null}')],
        [page("Lots", [])],
        [page("TrdBuy", [{"id": n, "numberAnno": "a"} for n in range(1, 7000)])],
    ],
)
async def test_a_passing_fault_of_goszakup_costs_time_and_nothing_else(
    etl: Stand, world: World, acts: list[Act]
) -> None:
    world.acts.extend(acts)
    run = await complete(etl, entities=["trd_buy"])
    assert run["status"] == "success"
    assert counted(run, "trd_buy") == (7, 7, 0, 0, 0)
    assert not world.acts


async def test_a_page_that_goes_back_is_not_believed(etl: Stand, world: World) -> None:
    ordinary: Act = lambda handler: handler.answer(*handler.ordinary())  # noqa: E731
    back = page("TrdBuy", [record("TrdBuy", 10, NOW)], hasNextPage=True, lastId=90)
    world.acts.extend([ordinary, back])
    run = await complete(etl, entities=["trd_buy"])
    assert counted(run, "trd_buy") == (7, 7, 0, 0, 0)
    errors = await metric(etl, "goszakup_sync_errors_total", entity="trd_buy", reason="garbage")
    assert errors == 1
    assert await metric(etl, "goszakup_errors_total", endpoint="trd_buy", reason="garbage") == 1


async def test_a_limit_of_goszakup_is_waited_for_as_long_as_it_says(
    etl: Stand, world: World
) -> None:
    world.acts.extend([status(429, Retry_After="120")] * 2)
    run = await begin(etl, entities=["trd_buy"])
    worker, waits, seen = worker_of(etl), [], []
    goszakup = etl.parts.own(Engine).goszakup
    clock = {"now": 1000.0}
    goszakup._clock = lambda: clock["now"]

    async def sleep(seconds: float) -> None:
        waits.append(round(seconds))
        seen.append(await state(etl, run))
        clock["now"] += seconds

    worker.sleep = sleep
    assert await worker.once() == "success"
    assert waits == [120, 120]
    assert (seen[0]["status"], seen[0]["waiting_for"]) == ("running", "rate_limited")
    assert seen[0]["waiting_until"] == "2026-11-22T12:02:00Z"
    found = await state(etl, run)
    assert (found["waiting_for"], found["waiting_until"]) == (None, None)
    assert asked_after(world, "TrdBuy") == [0, 0, 0, 30, 60]
    limited = {"endpoint": "trd_buy", "reason": "rate_limited"}
    assert await metric(etl, "goszakup_errors_total", **limited) == 2


async def test_a_real_rate_limit_slows_a_run_down_and_loses_nothing(
    etl: Stand, world: World
) -> None:
    world.requests_per_second = 2
    await begin(etl, entities=["trd_buy", "lots"])
    worker = worker_of(etl)
    worker.sleep = asyncio.sleep
    assert await worker.once() == "success"
    assert await kept(etl, "trd_buy") == [10, 20, 30, 40, 50, 60, 70]
    assert await kept(etl, "lots") == [10, 20, 30, 40]


async def test_an_entity_that_fails_again_and_again_fails_alone_and_can_be_resumed(
    etl: Stand, world: World
) -> None:
    etl.parts.own(Engine).goszakup._breaker._limit = 1000
    world.acts.extend([status(400)])
    run = await complete(etl, entities=["trd_buy", "lots"])
    assert (run["status"], run["resumable"]) == ("partial_success", True)
    assert (part(run, "trd_buy")["status"], part(run, "trd_buy")["failure"]) == (
        "failed",
        "refused",
    )
    assert counted(run, "lots") == (4, 4, 0, 0, 0)
    assert await metric(etl, "etl_runs_total", status="partial_success") == 1
    await act(etl, run, "resume", 202)
    again = part(await state(etl, run), "trd_buy")
    assert (again["status"], again["failure"]) == ("waiting", None)
    assert await worker_of(etl).once() == "success"
    assert counted(await state(etl, run), "trd_buy") == (7, 7, 0, 0, 0)


async def test_a_run_that_is_cancelled_while_it_waits_waits_for_nothing_any_more(
    etl: Stand, world: World
) -> None:
    world.acts.extend([status(429, Retry_After="120")])
    run = await begin(etl, entities=["trd_buy"])
    worker = worker_of(etl)

    async def cancelled(_: float) -> None:
        await act(etl, run, "cancel", 200)

    worker.sleep = cancelled
    await worker.once()
    found = await state(etl, run)
    assert (found["status"], found["waiting_for"], found["waiting_until"]) == (
        "cancelled",
        None,
        None,
    )


async def test_a_goszakup_that_stays_away_ends_the_run_as_an_error(
    etl: Stand, world: World, abroad: Outside
) -> None:
    goszakup = etl.parts.own(Engine).goszakup
    goszakup._breaker._limit = 1000
    clock = {"now": 1000.0}
    goszakup._clock = lambda: clock["now"]
    tries = goszakup._patience.tries
    world.acts.extend([status(503)] * (tries * FAILURES))
    run = await complete(etl, entities=["trd_buy"])
    assert (run["status"], part(run, "trd_buy")["failure"]) == ("error", "server_error")
    assert run["totals"]["read"] == 0
    errors = await metric(
        etl, "goszakup_sync_errors_total", entity="trd_buy", reason="server_error"
    )
    assert errors == FAILURES


async def test_a_wrong_token_ends_the_run_at_once(etl: Stand, world: World) -> None:
    world.goszakup_token = "another"
    run = await complete(etl)
    assert run["status"] == "error"
    assert [one["status"] for one in run["parts"]] == ["failed", *["waiting"] * 4]
    assert run["parts"][0]["failure"] == "unauthorized"
    assert len(world.asked) == 1


async def test_a_postgresql_that_goes_away_in_the_middle_is_no_success_and_loses_nothing(
    servers: Backing, etl: Stand, world: World
) -> None:
    run = await begin(etl, entities=["trd_buy"])
    goszakup = etl.parts.own(Engine).goszakup
    ask, worker = goszakup.post, worker_of(etl)

    async def away(*asked: Any) -> Any:
        answer = await ask(*asked)
        if asked[2]["variables"]["after"] == 30 and len(world.asked) == 2:
            await asyncio.to_thread(servers.postgres.stop)
        return answer

    goszakup.post = away  # type: ignore[method-assign]
    loop = asyncio.create_task(worker.forever(0.05))
    try:
        error = {"entity": "trd_buy", "reason": "database"}

        async def noticed() -> bool:
            return await metric(etl, "goszakup_sync_errors_total", **error) > 0

        await until(noticed)
        assert (await etl.call("GET", f"/runs/{run['run_id']}")).status_code == 503
        await asyncio.to_thread(servers.postgres.start)

        async def ended() -> bool:
            return (await state(etl, run))["status"] != "running"

        await until(ended)
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
    found = await state(etl, run)
    assert found["status"] == "success"
    assert counted(found, "trd_buy") == (7, 7, 0, 0, 0)
    assert await kept(etl, "trd_buy") == [10, 20, 30, 40, 50, 60, 70]
    inserted = await metric(etl, "etl_records_processed_total", entity="trd_buy", result="inserted")
    assert inserted == 7


@pytest.mark.parametrize(
    ("error", "reason"), [(StaleSecretError("too old"), "vault"), (OSError(), "unforeseen")]
)
async def test_what_cuts_a_run_off_is_called_by_its_name_and_the_run_goes_on(
    etl: Stand, world: World, error: Exception, reason: str
) -> None:
    run = await begin(etl, entities=["trd_buy"])
    goszakup = etl.parts.own(Engine).goszakup
    ask, worker = goszakup.post, worker_of(etl)

    async def fails_once(*_: Any) -> Any:
        goszakup.post = ask  # type: ignore[method-assign]
        raise error

    goszakup.post = fails_once  # type: ignore[method-assign]
    loop = asyncio.create_task(worker.forever(0.05))

    async def ended() -> bool:
        return (await state(etl, run))["status"] != "running"

    try:
        await until(ended)
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
    assert (await state(etl, run))["status"] == "success"
    assert await metric(etl, "goszakup_sync_errors_total", entity="trd_buy", reason=reason) == 1
    assert await metric(etl, "goszakup_sync_errors_total", entity="trd_buy", reason="database") == 0


async def test_runs_need_their_scope_and_a_name_that_exists(etl: Stand) -> None:
    assert (await etl.call("POST", "/runs", json={})).status_code == 403
    for word in ("resume", "cancel"):
        assert (await etl.call("POST", f"/runs/1/{word}", json={})).status_code == 403
        none = await etl.call("POST", f"/runs/1/{word}", scopes=["etl:run"])
        assert none.status_code == 404
    assert (await etl.call("GET", "/runs/1")).status_code == 404
    for wrong in ({"days": 0}, {"entities": []}, {"entities": ["plans"]}, {"day": 1}):
        assert (await etl.call("POST", "/runs", scopes=["etl:run"], json=wrong)).status_code == 422


async def test_runs_are_listed_newest_first_by_pages(etl: Stand) -> None:
    made = [(await complete(etl, entities=["lots"]))["run_id"] for _ in range(3)]
    first = (await etl.call("GET", "/runs", params={"limit": 2})).json()
    assert [one["run_id"] for one in first["items"]] == [made[2], made[1]]
    rest = (await etl.call("GET", "/runs", params={"limit": 2, "before": first["next"]})).json()
    assert ([one["run_id"] for one in rest["items"]], rest["next"]) == ([made[0]], None)
