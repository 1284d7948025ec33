"""The worker: takes the run that is under way and brings it to its end.

What lives here: the loop, and one step after the other. What never does: a decision (``plan``), a
statement (``store``).
Invariant: before each page the run's state is read from PostgreSQL; nothing that this process
remembers decides where a run goes on, so a run that was cut off anywhere goes on the same way.
"""

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Awaitable, Callable
from random import Random

from zakupai_common.db import Database, DatabaseUnavailableError
from zakupai_common.goszakup import Goszakup, GoszakupError
from zakupai_common.vault.errors import VaultClientError
from zakupai_etl.entities import Entity
from zakupai_etl.metrics import EtlMetrics
from zakupai_etl.runs import store
from zakupai_etl.runs.pages import Page, fetch_page
from zakupai_etl.runs.plan import (
    DATABASE,
    UNFORESEEN,
    VAULT,
    GiveUp,
    PartStatus,
    Status,
    Wait,
    decide_after_failure,
    reason_of,
)
from zakupai_etl.runs.records import REFUSED
from zakupai_etl.runs.store import Claimed, LostError

_log = logging.getLogger("zakupai.etl.worker")
_LUCK = Random()  # noqa: S311 - spreads load, hides nothing
PAUSE_SECONDS = 2.0
"""After something went wrong that is nobody's answer: the database away, Vault stale."""


class _AllFailError(Exception):
    """No part of the run can go on."""


class Worker:
    """One for a process. ``sleep`` is replaced by tests."""

    def __init__(
        self,
        database: Database,
        goszakup: Goszakup,
        metrics: EtlMetrics,
        clock: Callable[[], datetime.datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._goszakup = goszakup
        self._metrics = metrics
        self._clock = clock
        self.sleep = sleep
        self._wake = asyncio.Event()
        self._at: str | None = None
        self._last: tuple[int, int] | None = None

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    async def forever(self, every_seconds: float) -> None:
        """Look every so often, and at once when woken: also runs whose process died go on."""
        while True:
            self._wake.clear()
            pause = every_seconds * (0.9 + 0.2 * _LUCK.random())
            try:
                await self.once()
            except (DatabaseUnavailableError, VaultClientError) as error:
                self._cut_off(error)
                pause = min(pause, PAUSE_SECONDS)
            except Exception as error:
                _log.exception("a run was cut off")
                self._cut_off(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def once(self) -> Status | None:
        """Work on the run that is under way; how it ended. None: there is none, or not for us.

        Raises DatabaseUnavailableError, VaultClientError: the run goes on next time.
        """
        async with self._database.begin() as connection:
            if await store.active(connection) is None:
                return None
        async with self._database.try_lock(store.WORKER_LOCK) as ours:
            if not ours:
                return None
            async with self._database.begin() as connection:
                claimed = await store.claim(connection, self._clock())
            if claimed is None:
                return None
            if self._last != (claimed.run_id, claimed.number - 1):
                self._metrics.forget_run(claimed.run_id)  # others may have worked on it
            self._last = (claimed.run_id, claimed.number)
            self._metrics.working.set(1)
            try:
                return await self._work(claimed)
            except LostError:
                await self._lost(claimed)
                return None
            finally:
                self._metrics.working.set(0)

    def _cut_off(self, error: Exception) -> None:
        _log.warning("the run waits: %s", type(error).__name__)
        if self._at is not None:
            self._metrics.sync_error(self._at, _reason(error))
            self._at = None

    async def _lost(self, claimed: Claimed) -> None:
        _log.info("run %d is not ours any more", claimed.run_id)
        async with self._database.begin() as connection:
            row = await store.run(connection, claimed.run_id)
            parts = await store.parts_of(connection, claimed.run_id)
        if row is not None and row.status == Status.CANCELLED.value:
            for part in parts:  # the last page before it was cancelled
                self._metrics.saw_part(part)
        self._metrics.forget_run(claimed.run_id)

    async def _work(self, claimed: Claimed) -> Status:
        async with self._database.begin() as connection:
            parts = await store.parts_of(connection, claimed.run_id)
        _log.info("run %d goes on", claimed.run_id)
        try:
            for part in parts:
                if part.status == PartStatus.WAITING.value:
                    self._at = part.entity
                    await self._part(claimed, store.entity_of(part))
        except _AllFailError:
            _log.warning("run %d: no part can go on", claimed.run_id)
        self._at = None
        async with self._database.begin() as connection:
            status = await store.end(connection, claimed, self._clock())
        self._metrics.run_ended(status)
        self._metrics.forget_run(claimed.run_id)
        _log.info("run %d ended", claimed.run_id, extra={"status": status.value})
        return status

    async def _part(self, claimed: Claimed, entity: Entity) -> None:
        failures = 0
        while True:
            async with self._database.begin() as connection:
                part = await store.part_of(connection, claimed, entity)
            self._metrics.saw_part(part)
            if part.status != PartStatus.WAITING.value:
                return
            try:
                page = await fetch_page(self._goszakup, entity, part.cursor, claimed.window)
            except GoszakupError as error:
                failures += await self._failed(claimed, entity, error, failures + 1)
                continue
            failures = 0
            await self._keep(claimed, entity, page)

    async def _failed(
        self, claimed: Claimed, entity: Entity, error: GoszakupError, failures: int
    ) -> bool:
        """Wait or give up; whether this counts as a failure. Raises _AllFailError."""
        self._metrics.sync_error(entity.name, reason_of(error))
        decided = decide_after_failure(error, failures)
        async with self._database.begin() as connection:
            if isinstance(decided, Wait):
                await store.note_wait(connection, claimed, decided, self._clock())
            else:
                reason = decided.reason
                await store.fail_part(connection, claimed, entity, reason, self._clock())
        if isinstance(decided, GiveUp):
            _log.warning("%s of run %d failed: %s", entity.name, claimed.run_id, decided.reason)
            if decided.all_parts:
                raise _AllFailError
            return True
        await self.sleep(decided.seconds)
        return decided.failure

    async def _keep(self, claimed: Claimed, entity: Entity, page: Page) -> None:
        now = self._clock()
        try:
            async with self._database.begin() as connection:
                await store.keep_page(connection, claimed, entity, page, now)
        except REFUSED:
            # One record that PostgreSQL refuses: find it, keep the others.
            async with self._database.begin() as connection:
                await store.keep_page(connection, claimed, entity, page, now, one_by_one=True)


def _reason(error: Exception) -> str:
    if isinstance(error, DatabaseUnavailableError):
        return DATABASE
    return VAULT if isinstance(error, VaultClientError) else UNFORESEEN
