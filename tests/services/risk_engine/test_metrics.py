"""The business metrics: computed from what is kept, absent when it is not known."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from launcher.outside import Outside, World, status
from launcher.ports import free_ports
from tests.support.service_stand import Backing, Provided, Stand, standing
from zakupai_common.web.metrics_port import OPTION
from zakupai_common.web.settings import SettingsError
from zakupai_risk_engine.engine import ROUND_OPTION

FAR = (datetime.now(UTC) + timedelta(days=30)).isoformat()


def parsed(exposed: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Name and labels → value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
    }


async def metric(stand: Stand, name: str, **labels: str) -> float | None:
    found = parsed((await stand.client.get("/metrics")).text)
    return found.get((name, tuple(sorted(labels.items()))))


async def score(stand: Stand, lot_id: int, price: str, market: str | None) -> None:
    prices = [] if market is None else [{"source": "a", "price": market, "quantity": "1"}]
    body = {
        "title": "a",
        "price": price,
        "customer_bin": "123456789012",
        "plan_id": 1,
        "deadline": FAR,
        "prices": prices,
    }
    put = await stand.call("PUT", f"/risk/lots/{lot_id}", scopes=["risk:write"], json=body)
    assert put.status_code == 200
    scored = await stand.call("POST", "/risk/score", json={"lot_id": lot_id})
    assert scored.status_code == 200


@pytest.fixture
async def empty(risk: Stand) -> Stand:
    """No lot at all."""
    async with risk.parts.database.begin() as connection:
        await connection.execute(text("TRUNCATE lots, lot_prices, risk_evaluations"))
    return risk


async def test_without_a_lot_whose_market_is_known_there_is_no_ratio(empty: Stand) -> None:
    assert await metric(empty, "anti_dumping_ratio") is None
    await score(empty, 1, "100", None)
    assert await metric(empty, "anti_dumping_ratio") is None
    assert await metric(empty, "risk_lots_evaluated", anti_dumping="market_unknown") == 1
    await score(empty, 2, "100", "100")
    assert await metric(empty, "anti_dumping_ratio") == 0


async def test_the_ratio_counts_the_last_evaluation_of_each_lot(empty: Stand) -> None:
    for lot_id, price in ((1, "84.99"), (2, "85"), (3, "50"), (4, "500")):
        await score(empty, lot_id, price, "100")
    await score(empty, 5, "1", None)
    assert await metric(empty, "anti_dumping_ratio") == 50.0
    await score(empty, 1, "90", "100")
    assert await metric(empty, "anti_dumping_ratio") == 25.0
    counts = {
        name: await metric(empty, "risk_lots_evaluated", anti_dumping=name)
        for name in ("violation", "within_limit", "market_unknown")
    }
    assert counts == {"violation": 1, "within_limit": 3, "market_unknown": 1}
    assert await metric(empty, "risk_assessments_total", risk_level="low") == 6
    assert await metric(empty, "anti_dumping_percent_count") == 5


async def test_the_ratio_survives_a_restart(empty: Stand, provided: Provided) -> None:
    await score(empty, 1, "50", "100")
    await score(empty, 2, "100", "100")
    quiet = {OPTION: "0", ROUND_OPTION: "0"}
    urls = empty.parts.settings.urls
    async with standing(provided, urls=urls, options=quiet) as again:
        assert await metric(again, "anti_dumping_ratio") == 50.0
        assert await metric(again, "risk_assessments_total", risk_level="low") == 0


async def test_without_the_database_the_ratio_is_missing_and_that_is_said(
    servers: Backing, empty: Stand
) -> None:
    await score(empty, 1, "50", "100")
    assert await metric(empty, "risk_database_read") == 1
    await asyncio.to_thread(servers.postgres.stop)
    try:
        exposed = parsed((await empty.client.get("/metrics")).text)
    finally:
        await asyncio.to_thread(servers.postgres.start)
    names = {name for name, _ in exposed}
    assert exposed[("risk_database_read", ())] == 0
    assert not names & {"anti_dumping_ratio", "risk_lots_evaluated", "risk_messages_waiting"}
    assert "risk_assessments_total" in names
    assert await metric(empty, "anti_dumping_ratio") == 100.0


async def test_answers_about_suppliers_are_counted_by_what_was_answered(
    risk: Stand, world: World, number: str
) -> None:
    world.rnu[number] = {"status": "blocked"}
    for _ in range(3):
        await risk.call("GET", f"/validate_rnu/{number}")
    world.acts.extend([status(400), status(429, Retry_After="9")])
    for count in range(3):
        await risk.call("GET", f"/validate_rnu/{int(number) + 10**11 + count:012d}")
    counted = {
        name: await metric(risk, "rnu_validations_total", result=name)
        for name in ("blocked", "active", "unavailable", "rate_limited")
    }
    assert counted == {"blocked": 3, "active": 0, "unavailable": 1, "rate_limited": 2}
    errors = {
        reason: await metric(risk, "goszakup_errors_total", endpoint="rnu", reason=reason)
        for reason in ("refused", "rate_limited", "timeout")
    }
    assert errors == {"refused": 1, "rate_limited": 1, "timeout": 0}


async def test_no_label_comes_from_a_client(risk: Stand, number: str, lot_id: int) -> None:
    await risk.call("GET", f"/validate_rnu/{number}")
    await score(risk, lot_id, "50", "100")
    await risk.client.get(f"/nothing/{number}")
    exposed = (await risk.client.get("/metrics")).text
    assert number not in exposed
    assert str(lot_id) not in exposed


async def test_the_port_of_the_metrics_serves_them_and_is_free_afterwards(
    provided: Provided, abroad: Outside
) -> None:
    (port,) = free_ports(1)
    urls = {"goszakup": abroad.url, "telegram": abroad.url}
    told = {OPTION: str(port), ROUND_OPTION: "0"}
    async with standing(provided, urls=urls, options=told) as stand:
        await score(stand, 1, "50", "100")
        async with httpx.AsyncClient() as client:
            exposed = parsed((await client.get(f"http://127.0.0.1:{port}/metrics")).text)
        inside = parsed((await stand.client.get("/metrics")).text)
        assert exposed[("anti_dumping_ratio", ())] == inside[("anti_dumping_ratio", ())] > 0
        with pytest.raises(SettingsError, match=f"port {port} cannot be used"):
            async with standing(provided, urls=urls, options=told):
                pass
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize("option", [OPTION, ROUND_OPTION])
@pytest.mark.parametrize("wrong", ["x", "-1", "99999999", "٣"])
async def test_a_setting_that_is_no_number_stops_the_start(
    provided: Provided, abroad: Outside, option: str, wrong: str
) -> None:
    urls = {"goszakup": abroad.url, "telegram": abroad.url}
    told = {OPTION: "0", ROUND_OPTION: "0", option: wrong}
    with pytest.raises(SettingsError, match=option):
        async with standing(provided, urls=urls, options=told):
            pass
