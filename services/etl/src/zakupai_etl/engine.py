"""The parts of etl that live as long as the app.

What lives here: how they are made and ended, and the settings they need. What never does: a route.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zakupai_common.goszakup import Goszakup, GoszakupMetrics, Patience, goszakup_client
from zakupai_common.vault.declared import Declared
from zakupai_common.web.background import background, seconds_between
from zakupai_common.web.parts import Parts
from zakupai_common.web.settings import SettingsError
from zakupai_etl.attachments.fetch import Fetcher, fetcher
from zakupai_etl.attachments.files import Folder
from zakupai_etl.attachments.target import Hosts, read_hosts
from zakupai_etl.entities import ENTITIES
from zakupai_etl.metrics import EtlMetrics
from zakupai_etl.runs.worker import Worker

GOSZAKUP_TOKEN = Declared("goszakup token", "shared/goszakup", "token")
FOLDER_OPTION = "ZAKUPAI_ETL_FOLDER"
"""Where attachments are kept; must be set."""
HOSTS_OPTION = "ZAKUPAI_ETL_ATTACHMENT_HOSTS"
"""Hosts that attachments may be fetched from, ``HOST`` or ``HOST:PORT``; none when not set."""
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
    folder: Folder
    fetcher: Fetcher


@asynccontextmanager
async def engine(parts: Parts) -> AsyncIterator[None]:
    """``parts.own(Engine)`` while the app runs."""
    every, hosts = seconds_between(parts.settings, LOOK_OPTION, "15"), _hosts(parts)
    folder = await asyncio.to_thread(_folder, parts)
    urls, vault = parts.settings.urls, parts.secrets
    metrics = EtlMetrics(parts.registry)
    errors = GoszakupMetrics(parts.registry, [entity.name for entity in ENTITIES])
    token = partial(vault.__getitem__, GOSZAKUP_TOKEN)
    async with (
        goszakup_client(urls["goszakup"], token, errors, _PATIENCE) as goszakup,
        fetcher(hosts, folder) as fetching,
    ):
        worker = Worker(parts.database, goszakup, metrics, lambda: parts.clock())
        readers = asyncio.Semaphore(2)
        parts.put(Engine(metrics, goszakup, worker, readers, folder, fetching))
        async with contextlib.AsyncExitStack() as stack:
            if every:
                await stack.enter_async_context(background(worker.forever(every), "runs"))
            yield


def _hosts(parts: Parts) -> Hosts:
    try:
        return read_hosts(parts.settings.options.get(HOSTS_OPTION, ""))
    except ValueError as error:
        raise SettingsError(f"{HOSTS_OPTION}: {error}") from None


def _folder(parts: Parts) -> Folder:
    told = parts.settings.options.get(FOLDER_OPTION)
    if not told:
        raise SettingsError(f"{FOLDER_OPTION} is not set")
    folder = Folder(Path(told))
    try:
        folder.prepare()
    except OSError as error:
        raise SettingsError(f"{FOLDER_OPTION}: {error.strerror}") from None
    return folder
