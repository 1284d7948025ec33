"""A supplier's state: Redis, then PostgreSQL, then the registry.

What lives here: the order, and that many who ask at once cause one question. What never does:
HTTP, a statement.
Invariant: an answer is at most ``AGE`` old; when nobody can say, GoszakupError is raised and
nothing is made up.
"""

import asyncio
import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from zakupai_common.db import Database
from zakupai_risk_engine.rnu import records
from zakupai_risk_engine.rnu.cache import Checked, RnuCache
from zakupai_risk_engine.rnu.registry import Registry

AGE = datetime.timedelta(hours=24)
Source = Literal["redis", "postgresql", "registry"]


@dataclass(frozen=True)
class Validation:
    """A state and where it came from."""

    checked: Checked
    source: Source


class Validator:
    """One for a process."""

    def __init__(
        self,
        cache: RnuCache,
        database: Database,
        registry: Registry,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._cache = cache
        self._database = database
        self._registry = registry
        self._clock = clock
        self._asking: dict[str, asyncio.Task[Checked]] = {}

    async def validate(self, number: str) -> Validation:
        """The state. Raises GoszakupError, DatabaseUnavailableError."""
        now = self._clock()
        found = await self._cache.get(number, now)
        if found is not None:
            return Validation(found, "redis")
        known = await self.last_known(number)
        if known is not None and now - known.checked_at < AGE:
            await self._cache.put(number, known, now)
            return Validation(known, "postgresql")
        return Validation(await self.ask(number), "registry")

    async def last_known(self, number: str) -> Checked | None:
        """What was observed last, however old."""
        async with self._database.begin() as connection:
            return await records.state_of(connection, number)

    async def ask(self, number: str) -> Checked:
        """Ask the registry and keep what it says; those who ask meanwhile wait for the same answer.

        Raises GoszakupError, DatabaseUnavailableError.
        """
        asking = self._asking.get(number)
        if asking is None:
            asking = asyncio.create_task(self._ask(number), name=f"rnu {number}")
            self._asking[number] = asking
            asking.add_done_callback(lambda done: self._answered(number, done))
        return await asyncio.shield(asking)

    async def close(self) -> None:
        """End what is still being asked."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _answered(self, number: str, done: asyncio.Task[Checked]) -> None:
        self._asking.pop(number, None)
        if not done.cancelled():
            done.exception()  # whoever waited has it; if nobody did any more, the metric has

    async def _ask(self, number: str) -> Checked:
        state = await self._registry.state(number)
        seen = Checked(state, self._clock())
        async with self._database.begin() as connection:
            counts = await records.observe(connection, number, seen)
        await self._cache.put(number, counts, self._clock())
        return counts
