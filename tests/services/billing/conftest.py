"""billing, standing, and a user with a key."""

import itertools
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.support.service_stand import Backing, Provided, Stand, provide, standing
from zakupai_billing.service import SERVICE

ADMIN, VALIDATE = "billing:admin", "billing:validate"
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


@pytest.fixture(scope="session")
def provided(servers: Backing) -> Provided:
    return provide(servers, SERVICE)


@pytest.fixture
async def billing(provided: Provided) -> AsyncIterator[Stand]:
    async with standing(provided) as made:
        made.parts.clock = lambda: NOON
        yield made


@pytest.fixture
async def customer(billing: Stand) -> Customer:
    return await enrol(billing)
