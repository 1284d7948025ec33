"""calc over a real OpenBao and PostgreSQL: answers, history, and what it refuses to make up."""

import secrets
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.support.service_stand import Stand

MARGIN = {
    "lot_price": "1120000.00",
    "cost": "700000.00",
    "logistics": "50000.00",
    "lot_id": 4711,
    "supplier_id": 17,
    "region": "Almaty",
}


@pytest.fixture
def user() -> str:
    return f"user-{secrets.token_hex(6)}"


async def test_a_calculation_is_answered_in_texts_and_kept(calc: Stand, user: str) -> None:
    answer = await calc.call("POST", "/vat", user=user, json={"amount": "112.00", "lot_id": 5})
    assert answer.status_code == 200
    found = answer.json()
    assert {name: found[name] for name in ("base", "vat", "total", "rounding")} == {
        "base": "100.00",
        "vat": "12.00",
        "total": "112.00",
        "rounding": "half up to 0.01",
    }
    kept = (await calc.call("GET", f"/history/{found['calculation_id']}", user=user)).json()
    assert kept["kind"] == "vat"
    assert kept["lot_id"] == 5
    assert kept["request"]["amount"] == "112.00"
    assert kept["result"] == {name: found[name] for name in ("base", "vat", "total", "rounding")}


async def test_an_amount_sent_as_a_number_means_what_it_says(calc: Stand) -> None:
    answer = await calc.call("POST", "/vat", json={"amount": 1234567890123.45, "rate_percent": 0})
    assert answer.json()["total"] == "1234567890123.45"


async def test_nobody_reads_the_calculations_of_another_user(calc: Stand, user: str) -> None:
    made = (
        await calc.call("POST", "/penalty", user=user, json={"contract_sum": 1, "days_overdue": 1})
    ).json()
    path = f"/history/{made['calculation_id']}"
    assert (await calc.call("GET", path, user=user)).status_code == 200
    stranger = await calc.call("GET", path, user="somebody-else")
    assert stranger.status_code == 404
    assert stranger.json()["type"] == "urn:zakupai:problem:no-calculation"


async def test_the_history_is_paged_newest_first_and_misses_nothing(calc: Stand, user: str) -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    made = []
    for number in range(7):
        calc.parts.clock = lambda number=number: noon + timedelta(milliseconds=number)
        answer = await calc.call("POST", "/vat", user=user, json={"amount": number + 1})
        made.append(answer.json()["calculation_id"])
    seen, before = [], None
    while True:
        params = {"limit": 3} | ({"before": before} if before else {})
        page = (await calc.call("GET", "/history", user=user, params=params)).json()
        seen += [item["calculation_id"] for item in page["items"]]
        before = page["next"]
        if before is None:
            break
    assert seen == list(reversed(made))


async def test_a_profit_comes_from_the_newest_margin_or_is_not_given(
    calc: Stand, user: str
) -> None:
    wanted = {name: MARGIN[name] for name in ("lot_id", "supplier_id", "region")}
    none = await calc.call("POST", "/profit", user=user, json=wanted)
    assert none.status_code == 501
    assert none.json()["type"] == "urn:zakupai:problem:no-data"
    await calc.call("POST", "/margin", user=user, json=MARGIN)
    newest = (
        await calc.call("POST", "/margin", user=user, json=MARGIN | {"cost": "800000"})
    ).json()
    found = (await calc.call("POST", "/profit", user=user, json=wanted)).json()
    assert found["calculation_id"] == newest["calculation_id"]
    assert Decimal(found["profit"]) == Decimal("1000000") - 850000
    others = await calc.call("POST", "/profit", user=f"not-{user}", json=wanted)
    assert others.status_code == 501
    elsewhere = await calc.call("POST", "/profit", user=user, json=wanted | {"region": "Astana"})
    assert elsewhere.status_code == 501


async def test_a_risk_score_is_not_made_up(calc: Stand) -> None:
    asked = {"bin": "123456789012", "year": 2026}
    answer = await calc.call("POST", "/risk-score", json=asked)
    assert answer.status_code == 501
    assert "no data" in answer.json()["detail"]
    wrong = await calc.call("POST", "/risk-score", json=asked | {"bin": "12345"})
    assert wrong.status_code == 422


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/vat", {"amount": 0}),
        ("/vat", {"amount": "-1"}),
        ("/vat", {"amount": "NaN"}),
        ("/vat", {"amount": "Infinity"}),
        ("/vat", {"amount": "1.001"}),
        ("/vat", {"amount": "12345678901234.56"}),
        ("/vat", {"amount": 1, "rate_percent": "20.01"}),
        ("/vat", {"amount": 1, "unknown": True}),
        ("/margin", {"lot_price": 1}),
        ("/margin", {"lot_price": 1, "cost": 1, "region": "a\nb"}),
        ("/penalty", {"contract_sum": 1, "days_overdue": -1}),
        ("/penalty", {"contract_sum": 1, "days_overdue": 1, "daily_rate_percent": "5.0001"}),
        ("/risk-level", {"score": "10.01"}),
        ("/vat", []),
        ("/vat", None),
    ],
)
async def test_what_makes_no_sense_is_named_field_by_field(
    calc: Stand, path: str, body: object
) -> None:
    answer = await calc.call("POST", path, json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["request_id"] == answer.headers["x-request-id"]
    assert found["errors"]
    assert all(set(one) == {"field", "message"} for one in found["errors"])


async def test_a_calculation_id_tells_its_time(calc: Stand) -> None:
    noon = datetime(2026, 11, 22, 12, 0, 0, 123000, tzinfo=UTC)
    calc.parts.clock = lambda: noon
    made = (await calc.call("POST", "/vat", json={"amount": 1})).json()
    found = uuid.UUID(made["calculation_id"])
    assert found.version == 7
    assert found.int >> 80 == int(noon.timestamp() * 1000)
