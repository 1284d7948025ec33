"""billing, standing, and a user with a key."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Coroutine, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import pytest

from tests.support.service_stand import Backing, Provided, Stand, provide, standing
from zakupai_billing.service import SERVICE
from zakupai_common.db import DatabaseSettings

ADMIN, VALIDATE = "billing:admin", "billing:validate"
POOL = DatabaseSettings("", "").pool_size
T = TypeVar("T")
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
_numbers = itertools.count(random.Random().randrange(2**40))


@dataclass
class Customer:
    """One user and the first key it got."""

    stand: Stand
    tg_id: int
    user: str
    key: str
    key_id: str

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """As the user itself."""
        return await self.stand.call(method, path, user=self.user, **more)

    async def check(self, key: str = "", **more: Any) -> dict[str, Any]:
        """As the gateway: may the key pass?"""
        return await check(self.stand, key or self.key, **more)


async def check(stand: Stand, key: str, **more: Any) -> dict[str, Any]:
    """Ask as the gateway does."""
    body = {"api_key": key, "endpoint": "/api/calc/vat", **more}
    answer = await stand.call(
        "POST", "/billing/validate_key", user="service:gateway", scopes=[VALIDATE], json=body
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def enrol(stand: Stand, **more: Any) -> Customer:
    """A new user with a key, made by an administrator."""
    tg_id = next(_numbers)
    answer = await stand.call(
        "POST", "/billing/create_key", scopes=[ADMIN], json={"tg_id": tg_id, **more}
    )
    assert answer.status_code == 201, answer.text
    made = answer.json()
    return Customer(stand, tg_id, made["user_id"], made["api_key"], made["key_id"])


async def at_once(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """As many at a time as the pool holds: waiting for a place in it is not what is tested."""
    places = asyncio.Semaphore(POOL)

    async def one(call: Coroutine[Any, Any, T]) -> T:
        async with places:
            return await call

    return list(await asyncio.gather(*map(one, calls)))


@pytest.fixture(scope="session")
def provided(servers: Backing) -> Provided:
    return provide(servers, SERVICE)


@pytest.fixture
async def billing(provided: Provided) -> AsyncIterator[Stand]:
    async with standing(provided) as made:
        made.parts.clock = lambda: NOON
        database = made.parts.database
        database.settings = replace(database.settings, deadline_seconds=60.0)
        yield made


@pytest.fixture
async def customer(billing: Stand) -> Customer:
    return await enrol(billing)
