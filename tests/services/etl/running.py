"""Runs as tests begin, end and judge them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import select

from tests.support.service_stand import Stand
from zakupai_etl.engine import Engine
from zakupai_etl.runs.worker import Worker
from zakupai_etl.tables import RECORDS

Json = dict[str, Any]


def worker_of(stand: Stand) -> Worker:
    """A worker as a new process would have it."""
    engine, parts = stand.parts.own(Engine), stand.parts
    return Worker(parts.database, engine.goszakup, engine.metrics, lambda: parts.clock(), no_sleep)


async def no_sleep(seconds: float) -> None:
    """Time passes."""


async def begin(stand: Stand, expected: int = 202, **asked: Any) -> Json:
    """``POST /runs``."""
    body = {"days": 7, **asked}
    answer = await stand.call("POST", "/runs", scopes=["etl:run"], json=body)
    assert answer.status_code == expected, answer.text
    found: Json = answer.json()
    return found


async def act(stand: Stand, run: Json, word: str, expected: int) -> Json:
    """``POST /runs/{id}/resume`` or ``cancel``."""
    path = f"/runs/{run['run_id']}/{word}"
    answer = await stand.call("POST", path, scopes=["etl:run"])
    assert answer.status_code == expected, answer.text
    found: Json = answer.json()
    return found


async def state(stand: Stand, run: Json) -> Json:
    """``GET /runs/{id}``."""
    answer = await stand.call("GET", f"/runs/{run['run_id']}")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def complete(stand: Stand, **asked: Any) -> Json:
    """A run from its beginning to its end; its state."""
    run = await begin(stand, **asked)
    assert await worker_of(stand).once() is not None
    return await state(stand, run)


def part(run: Json, entity: str) -> Json:
    """One entity of a run's state."""
    found: Json = next(one for one in run["parts"] if one["entity"] == entity)
    return found


def counted(run: Json, entity: str) -> tuple[int, int, int, int, int]:
    """read, inserted, updated, unchanged, refused."""
    one = part(run, entity)
    names = ("read", "inserted", "updated", "unchanged", "refused")
    read, inserted, updated, unchanged, refused = (one[name] for name in names)
    return read, inserted, updated, unchanged, refused


async def kept(stand: Stand, entity: str) -> list[int]:
    """The keys of all records in PostgreSQL."""
    table = next(table for name, table in RECORDS.items() if name == entity)
    async with stand.parts.database.begin() as connection:
        return list((await connection.execute(select(table.c.id).order_by(table.c.id))).scalars())


async def refused(stand: Stand, run: Json, entity: str) -> list[Json]:
    """The refusals of a part."""
    answer = await stand.call("GET", f"/runs/{run['run_id']}/refused/{entity}")
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()["items"]
    return found


async def metric(stand: Stand, name: str, **labels: str) -> float:
    """The value of a sample at ``/metrics``."""
    wanted = name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "} "
    lines = (await stand.client.get("/metrics")).text.splitlines()
    return float(next(line for line in lines if line.startswith(wanted)).split()[-1])


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    """Wait for it; the limit only ends a test that fails anyway."""
    async with asyncio.timeout(60):
        while not await happened():  # noqa: ASYNC110 - other processes tell nobody
            await asyncio.sleep(0.02)
