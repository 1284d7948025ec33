"""Limits are exact under concurrency, counters are honest, a payment counts once."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.services.billing.conftest import ADMIN, NOON, VALIDATE, Customer, at_once, check, enrol
from tests.support.service_stand import Stand

PAYMENT = {"plan": "premium", "method": "kaspi"}


@pytest.mark.row("B8.2")
async def test_never_more_requests_pass_at_once_than_the_plan_allows(billing: Stand) -> None:
    customer = await enrol(billing)
    second = (
        await customer.call("POST", "/billing/create_key", json={"tg_id": customer.tg_id})
    ).json()["api_key"]
    answers = await at_once(customer.check(key) for key in (customer.key, second) * 30)
    assert sum(answer["valid"] for answer in answers) == 20
    refused = [answer for answer in answers if not answer["valid"]]
    assert all(answer["reason"] == "limit" for answer in refused)
    assert sorted(a["remaining"] for a in answers if a["valid"]) == list(range(20))
    async with billing.parts.database.begin() as connection:
        counted = await connection.execute(
            text("SELECT kind, requests FROM usage_windows WHERE user_id = :user"),
            {"user": customer.user},
        )
        assert {row.kind: row.requests for row in counted} == {"day": 20, "hour": 20}


async def test_a_refused_request_is_counted_in_no_window(customer: Customer) -> None:
    assert (await customer.check(requests=15))["remaining"] == 5
    too_many = await customer.check(requests=6)
    assert (too_many["valid"], too_many["reason"]) == (False, "limit")
    metrics = (await customer.stand.call("GET", "/metrics")).text
    assert 'billing_key_checks_total{result="limit"} 1.0' in metrics
    assert 'billing_key_checks_total{result="valid"} 1.0' in metrics
    assert (await customer.check(requests=5))["remaining"] == 0


async def test_windows_begin_at_the_full_hour_and_at_midnight_utc(customer: Customer) -> None:
    clock = customer.stand.parts
    clock.clock = lambda: NOON + timedelta(minutes=59, seconds=30)
    assert (await customer.check(requests=20))["valid"]
    refused = await customer.check()
    assert (refused["reason"], refused["retry_after_seconds"]) == ("limit", 30)
    for hour in range(1, 5):
        clock.clock = lambda hour=hour: NOON + timedelta(hours=hour)
        assert (await customer.check(requests=20))["valid"]
    clock.clock = lambda: NOON + timedelta(hours=5)
    refused = await customer.check()
    assert (refused["reason"], refused["retry_after_seconds"]) == ("limit", 7 * 3600)
    clock.clock = lambda: NOON + timedelta(hours=12)
    assert (await customer.check())["valid"]


async def test_what_has_happened_is_counted_also_above_the_limit(customer: Customer) -> None:
    body = {"api_key": customer.key, "endpoint": "/api/risk/score", "requests": 50}
    answer = await customer.stand.call("POST", "/billing/usage", scopes=[VALIDATE], json=body)
    assert (answer.json()["valid"], answer.json()["remaining"]) == (True, 0)
    assert (await customer.check())["reason"] == "limit"
    stats = (await customer.call("GET", f"/billing/stats/{customer.tg_id}")).json()
    assert (stats["used_today"], stats["used_this_hour"]) == (50, 50)
    assert stats["endpoints"] == [{"endpoint": "/api/risk/score", "requests": 50}]
    assert [key["key_id"] for key in stats["keys"]] == [customer.key_id]
    assert "hash" not in stats["keys"][0]


async def test_statistics_add_up_what_thirty_days_brought_most_used_first(
    customer: Customer,
) -> None:
    parts = customer.stand.parts
    for hour, (endpoint, requests) in enumerate((("/a", 2), ("/b", 4), ("/a", 3), ("/c", 1))):
        parts.clock = lambda hour=hour: NOON + timedelta(hours=hour)
        assert (await customer.check(endpoint=endpoint, requests=requests))["valid"]

    async def told() -> list[tuple[str, int]]:
        stats = (await customer.call("GET", f"/billing/stats/{customer.tg_id}")).json()
        return [(one["endpoint"], one["requests"]) for one in stats["endpoints"]]

    assert await told() == [("/a", 5), ("/b", 4), ("/c", 1)]
    parts.clock = lambda: NOON + timedelta(days=30)
    assert await told() == [("/a", 5), ("/b", 4), ("/c", 1)]
    parts.clock = lambda: NOON + timedelta(days=31)
    assert await told() == []


async def announce(customer: Customer, external_id: str) -> dict[str, object]:
    answer = await customer.call(
        "POST",
        "/billing/payments",
        json={**PAYMENT, "tg_id": customer.tg_id, "external_id": external_id},
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


async def test_a_payment_confirmed_many_times_prolongs_the_plan_once(customer: Customer) -> None:
    payment = await announce(customer, f"once-{customer.tg_id}")
    assert (payment["amount"], payment["currency"], payment["status"]) == (
        "10000.00",
        "KZT",
        "pending",
    )
    path = f"/billing/payments/{payment['payment_id']}/confirm"
    body = {"amount": "10000", "currency": "KZT"}
    answers = await at_once(
        customer.stand.call("POST", path, scopes=[ADMIN], json=body) for _ in range(8)
    )
    assert {answer.json()["status"] for answer in answers} == {"paid"}
    stats = (await customer.call("GET", f"/billing/stats/{customer.tg_id}")).json()
    assert (stats["plan"], stats["plan_until"]) == ("premium", "2026-12-22T12:00:00Z")
    assert (await customer.check())["remaining"] == 499
    metrics = (await customer.stand.call("GET", "/metrics")).text
    assert 'billing_transactions_total{status="paid"} 1.0' in metrics


async def test_a_second_payment_begins_where_the_first_ends_and_then_the_plan_is_free(
    customer: Customer,
) -> None:
    for number in range(2):
        payment = await announce(customer, f"two-{customer.tg_id}-{number}")
        path = f"/billing/payments/{payment['payment_id']}/confirm"
        body = {"amount": "10000.00", "currency": "KZT"}
        await customer.stand.call("POST", path, scopes=[ADMIN], json=body)
    customer.stand.parts.clock = lambda: NOON + timedelta(days=60, seconds=-1)
    assert (await customer.check())["plan"] == "premium"
    customer.stand.parts.clock = lambda: NOON + timedelta(days=60)
    assert (await customer.check())["plan"] == "free"


async def test_another_amount_confirms_nothing(customer: Customer) -> None:
    payment = await announce(customer, f"amount-{customer.tg_id}")
    path = f"/billing/payments/{payment['payment_id']}/confirm"
    for amount, currency in (("9999.99", "KZT"), ("10000.00", "USD")):
        answer = await customer.stand.call(
            "POST", path, scopes=[ADMIN], json={"amount": amount, "currency": currency}
        )
        assert answer.status_code == 409
    assert (await customer.check())["plan"] == "free"


async def test_settling_needs_an_administrator_and_happens_one_way(customer: Customer) -> None:
    payment = await announce(customer, f"settle-{customer.tg_id}")
    path = f"/billing/payments/{payment['payment_id']}"
    body = {"amount": "10000.00", "currency": "KZT"}
    assert (await customer.call("POST", f"{path}/confirm", json=body)).status_code == 403
    assert (await customer.call("POST", f"{path}/fail")).status_code == 403
    assert (await customer.stand.call("GET", path, user="a-stranger")).status_code == 404
    failed = await customer.stand.call("POST", f"{path}/fail", scopes=[ADMIN])
    assert failed.json()["status"] == "failed"
    late = await customer.stand.call("POST", f"{path}/confirm", scopes=[ADMIN], json=body)
    assert late.status_code == 409
    assert (await customer.call("GET", path)).json()["status"] == "failed"


async def test_an_external_id_is_one_payment(customer: Customer) -> None:
    name = f"same-{customer.tg_id}"
    assert await announce(customer, name) == await announce(customer, name)
    other = await enrol(customer.stand)
    taken = await other.call(
        "POST", "/billing/payments", json={**PAYMENT, "tg_id": other.tg_id, "external_id": name}
    )
    assert taken.status_code == 409
    otherwise = {**PAYMENT, "method": "halyk", "tg_id": customer.tg_id, "external_id": name}
    assert (await customer.call("POST", "/billing/payments", json=otherwise)).status_code == 409


async def test_plans_are_what_is_enforced(billing: Stand) -> None:
    found = {plan["name"]: plan for plan in (await billing.call("GET", "/billing/plans")).json()}
    assert (found["free"]["requests_per_day"], found["free"]["requests_per_hour"]) == (100, 20)
    premium = found["premium"]
    assert (premium["requests_per_day"], premium["requests_per_hour"]) == (5000, 500)
    assert premium["price"] == "10000.00"
    assert premium["features"] == ["pdf_export", "risk_scoring", "doc_generation"]


async def test_a_key_of_nobody_counts_nothing(billing: Stand) -> None:
    assert (await check(billing, "nonsense"))["reason"] == "unknown"
    metrics = (await billing.call("GET", "/metrics")).text
    assert 'billing_key_checks_total{result="unknown"} 1.0' in metrics
