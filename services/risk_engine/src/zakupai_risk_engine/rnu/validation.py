"""A supplier's state: Redis, then PostgreSQL, then the registry.

What lives here: the order, and that many who ask at once cause one question. What never does:
HTTP, a statement.
Invariant: an answer is at most ``AGE`` old; when nobody can say, GoszakupError is raised and
nothing is made up.
"""

import asyncio
import datetime
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from zakupai_common.db import Database
from zakupai_risk_engine.rnu import records
from zakupai_risk_engine.rnu.cache import Checked, RnuCache
from zakupai_risk_engine.rnu.registry import Registry

AGE = datetime.timedelta(hours=24)
Source = Literal["redis", "postgresql", "registry"]
T = TypeVar("T")


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
        self._finding: dict[str, asyncio.Task[Validation]] = {}
        self._asking: dict[str, asyncio.Task[Checked]] = {}

    async def validate(self, number: str) -> Validation:
        """The state. Raises GoszakupError, DatabaseUnavailableError."""
        found = await self._cache.get(number, self._clock())
        if found is not None:
            return Validation(found, "redis")
        # The look-up is shared as well: who looked before the answer was kept and went on after it
        # would ask a second time.
        return await _together(self._finding, number, self._find)

    async def last_known(self, number: str) -> Checked | None:
        """What was observed last, however old."""
        async with self._database.begin() as connection:
            return await records.state_of(connection, number)

    async def ask(self, number: str) -> Checked:
        """Ask the registry and keep what it says; those who ask meanwhile wait for the same answer.

        Raises GoszakupError, DatabaseUnavailableError.
        """
        return await _together(self._asking, number, self._ask)

    async def close(self) -> None:
        """End what is still being asked."""
        tasks = [*self._finding.values(), *self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _find(self, number: str) -> Validation:
        known, now = await self.last_known(number), self._clock()
        if known is not None and now - known.checked_at < AGE:
            await self._cache.put(number, known, now)
            return Validation(known, "postgresql")
        return Validation(await self.ask(number), "registry")

    async def _ask(self, number: str) -> Checked:
        state = await self._registry.state(number)
        seen = Checked(state, self._clock())
        async with self._database.begin() as connection:
            counts = await records.observe(connection, number, seen)
        await self._cache.put(number, counts, self._clock())
        return counts


async def _together(
    under_way: dict[str, asyncio.Task[T]],
    number: str,
    work: Callable[[str], Coroutine[Any, Any, T]],
) -> T:
    """The one outcome for all who come while it is worked on; who leaves takes it from nobody."""

    def ended(done: asyncio.Task[T]) -> None:
        under_way.pop(number, None)
        if not done.cancelled():
            done.exception()  # whoever waited has it; if nobody did any more, the metric has

    task = under_way.get(number)
    if task is None:
        task = under_way[number] = asyncio.create_task(work(number), name=f"rnu {number}")
        task.add_done_callback(ended)
    return await asyncio.shield(task)
