"""Lots, their scores and the reasons, over a real OpenBao, PostgreSQL and Redis."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from launcher.outside import World, status
from tests.support.service_stand import Provided, Stand
from zakupai_risk_engine import lots

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def lot(price: str = "800000.00", **more: Any) -> dict[str, Any]:
    ordinary = {
        "title": "Ноутбуки",
        "price": price,
        "deadline": (NOW + timedelta(days=30)).isoformat(),
        "customer_bin": "123456789012",
        "plan_id": 77,
        "prices": [{"source": "catalogue", "price": "500000.00", "quantity": "2"}],
    }
    return {**ordinary, **more}


async def put(stand: Stand, lot_id: int, body: dict[str, Any]) -> None:
    answer = await stand.call("PUT", f"/risk/lots/{lot_id}", scopes=["risk:write"], json=body)
    assert answer.status_code == 200, answer.text


async def score(stand: Stand, lot_id: int, **more: Any) -> dict[str, Any]:
    answer = await stand.call("POST", "/risk/score", json={"lot_id": lot_id, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_score_says_why_and_is_found_again(risk: Stand, lot_id: int) -> None:
    risk.parts.clock = lambda: NOW
    await put(risk, lot_id, lot("800000.00", deadline=NOW.isoformat(), plan_id=None))
    found = await score(risk, lot_id)
    assert found["score"] == 40
    assert found["risk_level"] == "medium"
    assert [(one["flag"], one["points"]) for one in found["flags"]] == [
        ("short_deadline", 30),
        ("no_plan", 10),
    ]
    assert found["market"] == "1000000.00"
    assert found["anti_dumping_percent"] == "20.00"
    assert found["anti_dumping_violation"] is True
    assert found["complete"] is True
    assert (await risk.call("GET", f"/risk/explain/{lot_id}")).json() == found


async def test_a_new_evaluation_replaces_what_is_explained(risk: Stand, lot_id: int) -> None:
    await put(risk, lot_id, lot())
    first = await score(risk, lot_id)
    await put(risk, lot_id, lot("990000.00"))
    assert (await risk.call("GET", f"/risk/explain/{lot_id}")).json() == first
    second = await score(risk, lot_id)
    assert second["evaluation_id"] > first["evaluation_id"]
    assert second["anti_dumping_violation"] is False
    assert (await risk.call("GET", f"/risk/explain/{lot_id}")).json() == second


async def test_a_lot_is_kept_as_it_was_put_with_exactly_its_prices(
    risk: Stand, lot_id: int
) -> None:
    await put(risk, lot_id, lot())
    prices = [
        {"source": "a", "price": "1.10", "quantity": "0.500"},
        {"source": "б", "price": "0.00", "quantity": "3.000"},
    ]
    await put(risk, lot_id, lot("7.77", deadline=None, plan_id=None, prices=prices))
    kept = (await risk.call("GET", f"/risk/lots/{lot_id}")).json()
    assert kept == {
        "lot_id": lot_id,
        "title": "Ноутбуки",
        "price": "7.77",
        "deadline": None,
        "customer_bin": "123456789012",
        "plan_id": None,
        "prices": prices,
    }


async def test_without_market_and_deadline_the_score_says_that_it_is_not_complete(
    risk: Stand, lot_id: int
) -> None:
    await put(risk, lot_id, lot(deadline=None, prices=[]))
    found = await score(risk, lot_id)
    assert found["complete"] is False
    assert set(found["unknown"]) == {"short_deadline", "over_market"}
    assert found["market"] is found["anti_dumping_violation"] is None


@pytest.mark.parametrize(
    ("answer", "raised", "unknown"),
    [
        ({"status": "blacklisted"}, True, False),
        ({"status": "active"}, False, False),
        (None, False, True),
    ],
)
async def test_a_named_supplier_is_asked_about_for_real(
    risk: Stand,
    world: World,
    lot_id: int,
    number: str,
    answer: dict[str, str] | None,
    raised: bool,
    unknown: bool,
) -> None:
    if answer is not None:
        world.rnu[number] = answer
    await put(risk, lot_id, lot())
    found = await score(risk, lot_id, supplier_bin=number)
    assert ("supplier_blocked" in [one["flag"] for one in found["flags"]]) is raised
    assert ("supplier_blocked" in found["unknown"]) is unknown
    assert len(world.asked_for(number)) == 1


async def test_a_registry_that_is_away_is_an_unknown_and_no_clean_bill(
    risk: Stand, world: World, lot_id: int, number: str
) -> None:
    world.acts.append(status(400))
    await put(risk, lot_id, lot())
    found = await score(risk, lot_id, supplier_bin=number)
    assert found["unknown"] == {"supplier_blocked": "the registry gives no answer"}
    assert found["complete"] is False


async def test_what_is_not_there_is_404_and_names_itself(risk: Stand, lot_id: int) -> None:
    for method, path, slug in (
        ("GET", f"/risk/lots/{lot_id}", "no-lot"),
        ("GET", f"/risk/explain/{lot_id}", "not-evaluated"),
    ):
        answer = await risk.call(method, path)
        assert (answer.status_code, answer.json()["type"]) == (404, f"urn:zakupai:problem:{slug}")
    answer = await risk.call("POST", "/risk/score", json={"lot_id": lot_id})
    assert answer.status_code == 404


async def test_lots_are_put_by_those_only_who_may(risk: Stand, lot_id: int) -> None:
    answer = await risk.call("PUT", f"/risk/lots/{lot_id}", json=lot())
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:zakupai:problem:scope-missing")
    assert (await risk.call("GET", f"/risk/lots/{lot_id}")).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"price": "0"},
        {"price": "1.001"},
        {"price": "1e30"},
        {"price": "NaN"},
        {"customer_bin": "12345678901"},
        {"customer_bin": "１２３４５６７８９０１２"},
        {"customer_bin": "123456789012\n"},
        {"deadline": "2026-11-22T12:00:00"},
        {"deadline": "9999-01-01T00:00:00Z"},
        {"title": "a\u0000b"},
        {"prices": [{"source": "a", "price": "1", "quantity": "0"}]},
        {"prices": [{"source": "a", "price": "1", "quantity": "1"}] * 1001},
        {"more": 1},
    ],
    ids=repr,
)
async def test_a_lot_that_makes_no_sense_is_refused_and_not_kept(
    risk: Stand, lot_id: int, wrong: dict[str, Any]
) -> None:
    path = f"/risk/lots/{lot_id}"
    answer = await risk.call("PUT", path, scopes=["risk:write"], json=lot(**wrong))
    assert answer.status_code == 422
    assert (await risk.call("GET", path)).status_code == 404


async def test_scores_at_once_are_all_kept_and_the_lot_has_the_last(
    risk: Stand, lot_id: int
) -> None:
    await put(risk, lot_id, lot())
    found = await asyncio.gather(*(score(risk, lot_id) for _ in range(10)))
    assert len({one["evaluation_id"] for one in found}) == 10
    last = max(found, key=lambda one: one["evaluation_id"])
    assert (await risk.call("GET", f"/risk/explain/{lot_id}")).json() == last


async def test_a_lot_that_is_being_changed_is_scored_as_it_is_afterwards(
    risk: Stand, lot_id: int
) -> None:
    await put(risk, lot_id, lot("800000.00"))
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with risk.parts.database.begin() as changing:
        kept = await lots.get(changing, lot_id, lock=True)
        assert kept is not None
        await lots.put(changing, replace(kept, price=Decimal("990000.00")), NOW)
        scoring = asyncio.create_task(score(risk, lot_id))
        async with asyncio.timeout(60):
            while not await changing.scalar(waits):  # noqa: ASYNC110 - PostgreSQL tells nobody
                await asyncio.sleep(0.01)
    found = await scoring
    assert (found["anti_dumping_percent"], found["anti_dumping_violation"]) == ("1.00", False)


async def test_nothing_is_answered_without_the_gateways_proof(
    risk: Stand, provided: Provided, lot_id: int, number: str
) -> None:
    for method, path in (
        ("GET", f"/validate_rnu/{number}"),
        ("POST", "/rnu/subscribe"),
        ("DELETE", f"/rnu/subscribe/{number}/user-1"),
        ("GET", "/rnu/subscriptions/user-1"),
        ("POST", "/risk/score"),
        ("PUT", f"/risk/lots/{lot_id}"),
    ):
        forged = {"X-Zakupai-User": "user-1", "X-Zakupai-Scopes": "risk:write risk:admin"}
        answer = await risk.client.request(method, path, headers=forged)
        assert answer.status_code == 401, path


async def test_huge_numbers_of_lots_are_refused_before_the_database(risk: Stand) -> None:
    for lot_id in (0, -1, 2**63, "x"):
        answer = await risk.call("POST", "/risk/score", json={"lot_id": lot_id})
        assert answer.status_code == 422
    answer = await risk.call("POST", "/risk/score", json={"lot_id": 2**63 - 1})
    assert answer.status_code == 404
