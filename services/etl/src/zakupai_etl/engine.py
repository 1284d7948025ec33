"""The parts of etl that live as long as the app.

What lives here: how they are made and ended, and the settings they need. What never does: a route.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from zakupai_common.goszakup import Goszakup, GoszakupMetrics, Patience, goszakup_client
from zakupai_common.vault.declared import Declared
from zakupai_common.web.parts import Parts
from zakupai_common.web.settings import SettingsError
from zakupai_etl.entities import ENTITIES
from zakupai_etl.metrics import EtlMetrics
from zakupai_etl.runs.worker import Worker

GOSZAKUP_TOKEN = Declared("goszakup token", "shared/goszakup", "token")
LOOK_OPTION = "ZAKUPAI_ETL_LOOK_SECONDS"
"""How often it looks for a run that nobody works on; 15 when it is not set, "0" is never."""
_PATIENCE = Patience(try_seconds=30.0, deadline_seconds=75.0, answer_bytes=32 * 1024 * 1024)
"""A page is large, and nobody waits for it at the other end of a request."""


@dataclass(frozen=True)
class Engine:
    """What routes use beside the database."""

    metrics: EtlMetrics
    goszakup: Goszakup
    worker: Worker
    readers: asyncio.Semaphore
    """Of uploaded files at once: each may hold 100,000 rows."""


@asynccontextmanager
async def engine(parts: Parts) -> AsyncIterator[None]:
    """``parts.own(Engine)`` while the app runs."""
    every = _look_seconds(parts)
    urls, vault = parts.settings.urls, parts.secrets
    metrics = EtlMetrics(parts.registry)
    errors = GoszakupMetrics(parts.registry, [entity.name for entity in ENTITIES])
    async with goszakup_client(
        urls["goszakup"], lambda: vault[GOSZAKUP_TOKEN], errors, _PATIENCE
    ) as goszakup:
        worker = Worker(parts.database, goszakup, metrics, lambda: parts.clock())
        parts.put(Engine(metrics, goszakup, worker, asyncio.Semaphore(2)))
        async with contextlib.AsyncExitStack() as stack:
            if every:
                await stack.enter_async_context(_going(worker, every))
            yield


def _look_seconds(parts: Parts) -> float:
    told = parts.settings.options.get(LOOK_OPTION, "15")
    if not (told.isascii() and told.isdigit() and int(told) <= 86400):
        raise SettingsError(f"{LOOK_OPTION} is no number of seconds")
    return float(told)


@asynccontextmanager
async def _going(worker: Worker, every_seconds: float) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.forever(every_seconds), name="runs")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
