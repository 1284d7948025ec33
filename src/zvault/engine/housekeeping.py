"""What an unsealed store does by itself.

What lives here: the load of the leases after unseal, the tick that ends them, the look after the
data key. What never does: what ending a lease means (``leases/expiration.py``).
Invariant: nothing that fails once stops it; it says so in the log and goes on.
"""

import asyncio
import logging

from zvault.barrier.barrier import Barrier
from zvault.base.clock import Clock
from zvault.base.errors import ZvaultError
from zvault.engine.leases.book import LeaseBook
from zvault.engine.leases.expiration import Expiration

TICK_SECONDS = 1.0
KEY_SECONDS = 300.0
"""How often the data key's use is written down and judged, as in Vault."""
RETRY_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Housekeeping:
    """Two coroutines that the unsealed store runs until it is closed."""

    def __init__(
        self, barrier: Barrier, leases: LeaseBook, expiration: Expiration, clock: Clock
    ) -> None:
        self._barrier = barrier
        self._leases = leases
        self._expiration = expiration
        self._clock = clock

    async def load_leases(self) -> None:
        """Schedule every stored lease; storage that fails is asked again."""
        while True:
            try:
                report = await self._leases.load()
            except ZvaultError as error:
                _log.error("loading the leases failed and is tried again: %s", error.message)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            _log.info("%d leases loaded, %d unreadable", report.leases, len(report.unreadable))
            return

    async def run(self) -> None:
        """End what is due, every second; look after the data key, every five minutes."""
        looked_at = self._clock.monotonic()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self._expiration.tick()
                if self._clock.monotonic() - looked_at >= KEY_SECONDS:
                    looked_at = self._clock.monotonic()
                    await self.look_after_key()
            except ZvaultError as error:
                _log.error("housekeeping failed and goes on: %s", error.message)
            except Exception:
                _log.exception("housekeeping failed and goes on")

    async def look_after_key(self) -> None:
        """Write down how often the data key was used; add a new one when it is due."""
        used = self._barrier.unpersisted_encryptions
        if self._barrier.keyring.rotation_due(self._clock.now_ns(), used):
            term = await self._barrier.rotate()
            _log.info("the data key was due: term %d is in use", term)
        else:
            await self._barrier.persist_encryption_count()
