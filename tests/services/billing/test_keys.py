"""API keys over a real PostgreSQL: made, rotated with overlap, revoked, expired; never kept."""

import logging
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.services.billing.conftest import ADMIN, NOON, Customer, at_once, check, enrol
from tests.support.service_stand import Backing, Provided, Stand, standing
from zakupai_billing.api_key import new_key
from zakupai_billing.keys import KEYS_PER_USER

pytestmark = pytest.mark.row("B8.2")


async def test_a_key_passes_and_tells_user_plan_and_what_is_left(customer: Customer) -> None:
    found = await customer.check()
    assert found["valid"]
    assert (found["user_id"], found["key_id"]) == (customer.user, customer.key_id)
    assert (found["plan"], found["remaining"]) == ("free", 19)


async def test_the_last_use_of_a_key_is_told_to_the_minute(customer: Customer) -> None:
    told = []
    for seconds in (0, 59, 60, 3600):
        customer.stand.parts.clock = lambda seconds=seconds: NOON + timedelta(seconds=seconds)
        assert (await customer.check())["valid"]
        stats = (await customer.call("GET", f"/billing/stats/{customer.tg_id}")).json()
        told.append(stats["keys"][0]["last_used_at"])
    assert told == [f"2026-11-22T{at}:00Z" for at in ("12:00", "12:00", "12:01", "13:00")]


async def test_neither_database_nor_log_ever_holds_a_key(
    customer: Customer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    rotated = (
        await customer.call(
            "POST",
            "/billing/rotate_key",
            json={"tg_id": customer.tg_id, "key_id": customer.key_id},
        )
    ).json()
    await customer.check()
    await customer.check(rotated["api_key"])
    secrets = [key.rpartition("_")[2] for key in (customer.key, rotated["api_key"])]
    async with customer.stand.parts.database.begin() as connection:
        for table in ("users", "api_keys", "usage", "usage_windows", "payments"):
            rows = str((await connection.execute(text(f"SELECT * FROM {table}"))).all())
            assert not any(secret in rows for secret in secrets)
    assert not any(secret in caplog.text for secret in secrets)


async def test_an_unknown_key_and_a_right_id_with_a_wrong_secret_are_told_alike(
    customer: Customer,
) -> None:
    other = new_key()
    forged = type(other)(customer.key_id, other.secret).text().reveal()
    answers = [await customer.check(key) for key in (other.text().reveal(), forged, "zk_", "x")]
    assert all(answer == answers[0] for answer in answers)
    assert (answers[0]["valid"], answers[0]["reason"]) == (False, "unknown")


async def test_a_rotated_key_works_on_for_the_overlap_and_no_longer(customer: Customer) -> None:
    asked = {"tg_id": customer.tg_id, "key_id": customer.key_id, "overlap_seconds": 3600}
    rotated = (await customer.call("POST", "/billing/rotate_key", json=asked)).json()
    assert (await customer.check(rotated["api_key"]))["valid"]
    parts = customer.stand.parts
    parts.clock = lambda: NOON + timedelta(seconds=3599)
    assert (await customer.check())["valid"]
    parts.clock = lambda: NOON + timedelta(seconds=3600)
    assert (await customer.check())["reason"] == "expired"
    assert (await customer.check(rotated["api_key"]))["valid"]


async def test_a_key_is_rotated_once_however_many_ask_at_once(customer: Customer) -> None:
    asked = {"tg_id": customer.tg_id, "key_id": customer.key_id}
    answers = await at_once(
        customer.call("POST", "/billing/rotate_key", json=asked) for _ in range(6)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]


async def test_rotating_again_and_again_makes_no_more_than_twice_the_keys(
    customer: Customer,
) -> None:
    """Each old key works on for a week: without a limit one key becomes thousands."""
    key_id, made = customer.key_id, [customer.key]
    for _ in range(2 * KEYS_PER_USER - 1):
        asked = {"tg_id": customer.tg_id, "key_id": key_id, "overlap_seconds": 7 * 86400}
        answer = await customer.call("POST", "/billing/rotate_key", json=asked)
        assert answer.status_code == 200
        key_id = answer.json()["key_id"]
        made.append(answer.json()["api_key"])
    asked = {"tg_id": customer.tg_id, "key_id": key_id, "overlap_seconds": 7 * 86400}
    answer = await customer.call("POST", "/billing/rotate_key", json=asked)
    assert (answer.status_code, answer.json()["type"]) == (
        409,
        "urn:zakupai:problem:too-many-keys",
    )
    without_overlap = await customer.call(
        "POST", "/billing/rotate_key", json={**asked, "overlap_seconds": 0}
    )
    assert without_overlap.status_code == 200  # a leaked key can always be exchanged at once


@pytest.mark.parametrize("seconds", [-1, 7 * 86400 + 1])
async def test_an_old_key_works_on_for_a_week_at_the_most(customer: Customer, seconds: int) -> None:
    asked = {"tg_id": customer.tg_id, "key_id": customer.key_id, "overlap_seconds": seconds}
    assert (await customer.call("POST", "/billing/rotate_key", json=asked)).status_code == 422
    assert (await customer.check())["valid"]


async def test_a_rotation_does_not_prolong_a_key(billing: Stand) -> None:
    customer = await enrol(billing, expires_in_days=1)
    asked = {"tg_id": customer.tg_id, "key_id": customer.key_id, "overlap_seconds": 7 * 86400}
    rotated = (await customer.call("POST", "/billing/rotate_key", json=asked)).json()
    assert rotated["expires_at"] == rotated["old_key_ends_at"] == "2026-11-23T12:00:00Z"
    billing.parts.clock = lambda: NOON + timedelta(days=1)
    for key in (customer.key, rotated["api_key"]):
        assert (await customer.check(key))["reason"] == "expired"
    late = await customer.call(
        "POST",
        "/billing/rotate_key",
        json={"tg_id": customer.tg_id, "key_id": rotated["key_id"]},
    )
    assert late.status_code == 409


async def test_a_revoked_key_ends_at_once_and_for_ever(customer: Customer) -> None:
    asked = {"tg_id": customer.tg_id, "key_id": customer.key_id}
    for _ in range(2):
        answer = await customer.call("POST", "/billing/revoke_key", json=asked)
        assert answer.status_code == 204
    assert (await customer.check())["reason"] == "revoked"
    again = await customer.call("POST", "/billing/rotate_key", json=asked)
    assert again.status_code == 409


async def test_a_blocked_user_has_no_valid_key_until_it_is_let_in(customer: Customer) -> None:
    path = f"/billing/users/{customer.tg_id}/status"
    mine = await customer.call("POST", path, json={"status": "active"})
    assert mine.status_code == 403
    await customer.stand.call("POST", path, scopes=[ADMIN], json={"status": "blocked"})
    assert (await customer.check())["reason"] == "blocked"
    await customer.stand.call("POST", path, scopes=[ADMIN], json={"status": "active"})
    assert (await customer.check())["valid"]


async def test_a_user_has_a_limited_number_of_usable_keys(customer: Customer) -> None:
    answers = await at_once(
        customer.call("POST", "/billing/create_key", json={"tg_id": customer.tg_id})
        for _ in range(KEYS_PER_USER + 2)
    )
    codes = [answer.status_code for answer in answers]
    assert codes.count(201) == KEYS_PER_USER - 1
    await customer.call(
        "POST",
        "/billing/revoke_key",
        json={"tg_id": customer.tg_id, "key_id": customer.key_id},
    )
    more = await customer.call("POST", "/billing/create_key", json={"tg_id": customer.tg_id})
    assert more.status_code == 201


async def test_a_key_that_has_expired_makes_room_for_another(billing: Stand) -> None:
    customer = await enrol(billing, expires_in_days=1)
    asked = {"tg_id": customer.tg_id}
    codes = [
        (await customer.call("POST", "/billing/create_key", json=asked)).status_code
        for _ in range(KEYS_PER_USER)
    ]
    assert codes == [201] * (KEYS_PER_USER - 1) + [409]
    billing.parts.clock = lambda: NOON + timedelta(days=1)
    assert (await customer.call("POST", "/billing/create_key", json=asked)).status_code == 201


async def test_nobody_acts_for_another_user_or_learns_whether_there_is_one(
    customer: Customer,
) -> None:
    asked = {"tg_id": customer.tg_id, "key_id": customer.key_id}
    calls = [
        ("POST", "/billing/create_key", {"tg_id": customer.tg_id}),
        ("POST", "/billing/create_key", {"tg_id": 1}),
        ("POST", "/billing/rotate_key", asked),
        ("POST", "/billing/revoke_key", asked),
        ("GET", f"/billing/stats/{customer.tg_id}", None),
        ("GET", "/billing/stats/1", None),
    ]
    for method, path, body in calls:
        answer = await customer.stand.call(method, path, user="a-stranger", json=body)
        assert answer.status_code == 403, path
        assert answer.json()["type"] == "urn:zakupai:problem:not-yours"
    body = {"api_key": customer.key, "endpoint": "/x"}
    for path in ("/billing/validate_key", "/billing/usage"):
        assert (await customer.call("POST", path, json=body)).status_code == 403
    assert (await customer.check())["valid"]


async def test_nobody_ends_or_replaces_another_users_key_under_its_own_name(
    customer: Customer,
) -> None:
    other = await enrol(customer.stand)
    asked = {"tg_id": other.tg_id, "key_id": customer.key_id}
    for path in ("/billing/revoke_key", "/billing/rotate_key"):
        answer = await other.call("POST", path, json=asked)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:zakupai:problem:no-key")
    assert (await customer.check())["valid"]


async def test_a_pepper_is_exchanged_without_ending_a_key(
    servers: Backing, provided: Provided, customer: Customer
) -> None:
    path = "services/billing/api-keys"
    old = provided.values[path]["pepper"]
    try:
        servers.write(path, {"pepper": "another pepper", "previous_pepper": old})
        async with standing(provided) as during:
            during.parts.clock = lambda: NOON
            assert (await check(during, customer.key))["valid"]
        servers.write(path, {"pepper": "another pepper"})
        async with standing(provided) as after:
            after.parts.clock = lambda: NOON
            assert (await check(after, customer.key))["valid"]
            never_used = await enrol(after)
            assert (await never_used.check())["valid"]
    finally:
        servers.write(path, {"pepper": old})
