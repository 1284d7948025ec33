"""etl, standing before a goszakup that can be told to misbehave."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from launcher.goszakup import record
from launcher.outside import Outside, World, outside
from tests.support.service_stand import Backing, Provided, Stand, provide, standing
from zakupai_etl.engine import GOSZAKUP_TOKEN, LOOK_OPTION
from zakupai_etl.service import SERVICE
from zakupai_etl.tables import METADATA

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PAGE = 3


@pytest.fixture(scope="session")
def provided(servers: Backing) -> Provided:
    return provide(servers, SERVICE)


@pytest.fixture
def world(provided: Provided) -> World:
    """What goszakup has: 7 announcements, 4 lots, 1 contract."""
    made = World(goszakup_token=provided.values[GOSZAKUP_TOKEN.path]["token"], bot_token="")
    for root, count in (("TrdBuy", 7), ("Lots", 4), ("Contract", 1)):
        made.records[root] = [
            record(root, 10 * key, NOW - timedelta(hours=key)) for key in range(1, count + 1)
        ]
    return made


@pytest.fixture
def abroad(world: World) -> Iterator[Outside]:
    with outside(world) as server:
        yield server


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three records a page."""
    monkeypatch.setattr("zakupai_etl.entities.PAGE_SIZE", PAGE)


@pytest.fixture
async def etl(provided: Provided, abroad: Outside, small_pages: None) -> AsyncIterator[Stand]:
    """With empty tables and a worker that tests set to work."""
    async with standing(
        provided,
        urls={"goszakup": abroad.url},
        options={**provided.settings.options, LOOK_OPTION: "0"},
    ) as made:
        made.parts.clock = lambda: NOW
        await empty(made)
        yield made


async def empty(stand: Stand) -> None:
    """Nothing is kept any more."""
    names = ", ".join(table.name for table in METADATA.sorted_tables)
    async with stand.parts.database.begin() as connection:
        await connection.execute(text(f"TRUNCATE {names}"))
