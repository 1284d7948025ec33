"""risk-engine, standing before an outside world that can be told to misbehave."""

import itertools
import secrets
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from launcher.outside import Outside, World, outside
from tests.support.service_stand import Backing, Provided, Stand, provide, standing
from zakupai_common.web.metrics_port import OPTION
from zakupai_risk_engine.engine import BOT_TOKEN, GOSZAKUP_TOKEN, ROUND_OPTION
from zakupai_risk_engine.service import SERVICE


@pytest.fixture(scope="session")
def provided(servers: Backing) -> Provided:
    return provide(servers, SERVICE)


@pytest.fixture
def world(provided: Provided) -> World:
    """What the outside knows; a fresh one for each test."""
    return World(
        goszakup_token=provided.values[GOSZAKUP_TOKEN.path]["token"],
        bot_token=provided.values[BOT_TOKEN.path]["bot_token"],
    )


@pytest.fixture
def abroad(world: World) -> Iterator[Outside]:
    with outside(world) as server:
        yield server


@pytest.fixture
async def risk(provided: Provided, abroad: Outside) -> AsyncIterator[Stand]:
    """Without rounds of its own: tests begin them."""
    urls = {"goszakup": abroad.url, "telegram": abroad.url}
    async with standing(provided, urls=urls, options={OPTION: "0", ROUND_OPTION: "0"}) as made:
        yield made


_NUMBERS = itertools.count(secrets.randbelow(10**8) * 1000)


@pytest.fixture(scope="session")
def fresh_bin() -> Callable[[], str]:
    """A BIN that no test has used."""
    return lambda: f"{next(_NUMBERS):012d}"


@pytest.fixture
def number(fresh_bin: Callable[[], str]) -> str:
    return fresh_bin()


@pytest.fixture
def user() -> str:
    return f"user-{secrets.token_hex(6)}"


@pytest.fixture
def lot_id() -> int:
    return secrets.randbelow(2**62) + 1
