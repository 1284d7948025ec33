"""Who watches whom: at most a hundred, exactly, and nobody else's."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from launcher.outside import World
from tests.support.service_stand import Stand


async def subscribe(stand: Stand, user: str, number: str, chat: int = 5) -> int:
    answer = await stand.call(
        "POST", "/rnu/subscribe", user=user, json={"bin": number, "chat_id": chat}
    )
    return answer.status_code


async def listed(stand: Stand, user: str) -> list[str]:
    answer = await stand.call("GET", f"/rnu/subscriptions/{user}", user=user)
    return [one["bin"] for one in answer.json()["items"]]


async def test_a_subscription_is_made_listed_changed_and_ended(
    risk: Stand, world: World, user: str, number: str
) -> None:
    world.rnu[number] = {"status": "active"}
    await risk.call("GET", f"/validate_rnu/{number}")
    answer = await risk.call(
        "POST", "/rnu/subscribe", user=user, json={"bin": number, "chat_id": 7}
    )
    assert (answer.status_code, answer.json()["known_state"]) == (201, "ACTIVE")
    assert await subscribe(risk, user, number, chat=8) == 200
    found = (await risk.call("GET", f"/rnu/subscriptions/{user}", user=user)).json()
    assert [(one["bin"], one["chat_id"]) for one in found["items"]] == [(number, 8)]
    assert found["limit"] == 100
    path = f"/rnu/subscribe/{number}/{user}"
    assert (await risk.call("DELETE", path, user=user)).status_code == 204
    assert (await risk.call("DELETE", path, user=user)).status_code == 404
    assert await listed(risk, user) == []
    assert await subscribe(risk, user, number) == 201


async def test_a_subscription_is_as_old_as_its_last_beginning(
    risk: Stand, user: str, number: str
) -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    since = []
    for hour in range(4):
        risk.parts.clock = lambda hour=hour: noon + timedelta(hours=hour)
        if hour == 2:
            await risk.call("DELETE", f"/rnu/subscribe/{number}/{user}", user=user)
        await subscribe(risk, user, number)
        (found,) = (await risk.call("GET", f"/rnu/subscriptions/{user}", user=user)).json()["items"]
        since.append(datetime.fromisoformat(found["since"]).hour - noon.hour)
    assert since == [0, 0, 2, 2]


async def test_a_hundred_and_no_more_however_many_come_at_once(
    risk: Stand, user: str, fresh_bin: Callable[[], str]
) -> None:
    numbers = [fresh_bin() for _ in range(130)]
    places = asyncio.Semaphore(risk.parts.database.settings.pool_size)

    async def one(number: str) -> int:
        async with places:
            return await subscribe(risk, user, number)

    answers = await asyncio.gather(*(one(number) for number in numbers))
    assert sorted(answers) == [201] * 100 + [409] * 30
    assert len(await listed(risk, user)) == 100
    taken = (await listed(risk, user))[0]
    assert await subscribe(risk, user, taken) == 200
    await risk.call("DELETE", f"/rnu/subscribe/{taken}/{user}", user=user)
    again = await asyncio.gather(*(subscribe(risk, user, fresh_bin()) for _ in range(5)))
    assert sorted(again) == [201, 409, 409, 409, 409]


async def test_the_same_subscription_many_times_at_once_is_one(
    risk: Stand, user: str, number: str
) -> None:
    answers = await asyncio.gather(*(subscribe(risk, user, number) for _ in range(10)))
    assert sorted(answers) == [200] * 9 + [201]


async def test_nobody_sees_or_ends_the_subscriptions_of_another(
    risk: Stand, user: str, number: str
) -> None:
    await subscribe(risk, user, number)
    for method, path in (
        ("GET", f"/rnu/subscriptions/{user}"),
        ("DELETE", f"/rnu/subscribe/{number}/{user}"),
    ):
        answer = await risk.call(method, path, user="somebody-else")
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:zakupai:problem:not-yours")
    assert await listed(risk, user) == [number]
    answer = await risk.call(
        "DELETE", f"/rnu/subscribe/{number}/{user}", user="operator", scopes=["risk:admin"]
    )
    assert answer.status_code == 204
