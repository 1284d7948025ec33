"""What the gateway learns about users."""

import secrets
import uuid

from sqlalchemy import select

from tests.services.billing.conftest import ADMIN
from tests.support.service_stand import Stand
from zakupai_billing.tables import USERS

GATEWAY = ("billing:validate",)


async def test_a_user_is_made_once_and_keeps_its_id(billing: Stand) -> None:
    tg_id = secrets.randbelow(2**40) + 1
    asked = {"email": "someone@example.kz"}
    made = [
        await billing.call("PUT", f"/billing/users/{tg_id}", json=asked, scopes=[ADMIN])
        for _ in range(2)
    ]
    assert made[0].status_code == 200
    assert made[0].json() == made[1].json()
    told = made[0].json()
    assert (told["tg_id"], told["plan"], told["status"]) == (tg_id, "free", "active")
    found = await billing.call("GET", f"/billing/accounts/{told['user_id']}", scopes=GATEWAY)
    assert found.json() == told


async def test_an_address_stays_until_another_is_given(billing: Stand) -> None:
    tg_id = secrets.randbelow(2**40) + 1
    kept = []
    for asked in ({"email": "one@example.kz"}, {}, {"email": "two@example.kz"}):
        await billing.call("PUT", f"/billing/users/{tg_id}", json=asked, scopes=[ADMIN])
        query = select(USERS.c.email).where(USERS.c.tg_id == tg_id)
        async with billing.parts.database.begin() as connection:
            kept.append(await connection.scalar(query))
    assert kept == ["one@example.kz", "one@example.kz", "two@example.kz"]


async def test_a_blocked_user_is_told_as_blocked(billing: Stand) -> None:
    tg_id = secrets.randbelow(2**40) + 1
    made = await billing.call("PUT", f"/billing/users/{tg_id}", json={}, scopes=[ADMIN])
    user = made.json()["user_id"]
    blocked = {"status": "blocked"}
    path = f"/billing/users/{tg_id}/status"
    await billing.call("POST", path, json=blocked, scopes=[ADMIN])
    found = await billing.call("GET", f"/billing/accounts/{user}", scopes=GATEWAY)
    assert found.json()["status"] == "blocked"


async def test_users_learn_nothing_about_users(billing: Stand) -> None:
    unknown = f"/billing/accounts/{uuid.uuid4()}"
    assert (await billing.call("GET", unknown, scopes=GATEWAY)).status_code == 404
    assert (await billing.call("GET", unknown)).status_code == 403
    made = await billing.call("PUT", "/billing/users/1", json={}, scopes=GATEWAY)
    assert made.status_code == 403
