"""What risk-engine does on its own: look at watched suppliers again, send alerts.

What lives here: one round and the loop around it. What never does: a single message or request.
Invariant: whatever fails in a round is logged and the next round comes; a round ends early when the
registry or Telegram wants to be left alone.
"""

import asyncio
import datetime
import logging
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from zakupai_common.db import Database, DatabaseUnavailableError
from zakupai_common.goszakup import CircuitOpenError, GoszakupError, RateLimitedError
from zakupai_common.vault.errors import VaultClientError
from zakupai_risk_engine.messages.courier import Courier
from zakupai_risk_engine.rnu import records
from zakupai_risk_engine.rnu.validation import Validator

_log = logging.getLogger("zakupai.risk.rounds")
CHECK_AGAIN = datetime.timedelta(hours=1)
MOST_CHECKS = 500
_LUCK = Random()  # noqa: S311 - spreads load, hides nothing


@dataclass
class Rounds:
    """One for a process."""

    database: Database
    validator: Validator
    courier: Courier
    clock: Callable[[], datetime.datetime]

    async def look(self) -> int:
        """Ask again about watched suppliers last checked an hour ago; how many were answered."""
        before = self.clock() - CHECK_AGAIN
        async with self.database.begin() as connection:
            numbers = await records.watched(connection, before, MOST_CHECKS)
        count = 0
        for number in numbers:
            try:
                await self.validator.ask(number)
            except (RateLimitedError, CircuitOpenError) as error:
                _log.warning("the rest of the suppliers waits: %s", error)
                break
            except GoszakupError as error:
                _log.warning("a supplier was not checked: %s", error)
                continue
            count += 1
        return count

    async def round(self) -> None:
        """Look, then tell; whatever stops one does not stop the other."""
        for step in (self.look, self.courier.deliver):
            try:
                await step()
            except (DatabaseUnavailableError, VaultClientError) as error:
                _log.warning("%s ended early: %s", step.__name__, type(error).__name__)
            except Exception:
                _log.exception("%s failed", step.__name__)

    async def forever(self, every_seconds: float) -> None:
        """A round every so often, the first one soon; not all processes at the same moment."""
        await asyncio.sleep(every_seconds * 0.1 * _LUCK.random())
        while True:
            await self.round()
            await asyncio.sleep(every_seconds * (0.9 + 0.2 * _LUCK.random()))
