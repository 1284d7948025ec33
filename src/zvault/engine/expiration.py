"""Leases end: on time, by prefix, after a failure again.

What lives here: what a background tick does and what revoking by prefix means. What never does:
when ticks come (``unsealed.py``), how a token goes (``token_revocation.py``).
Invariant: a lease that could not be revoked is tried again; the tick never raises for one lease.
"""

import logging

from zvault.barrier.errors import UnreadableEntryError
from zvault.base.clock import Clock
from zvault.base.errors import ZvaultError
from zvault.base.gotime import SECOND_NS
from zvault.engine.leases import LeaseBook
from zvault.engine.metrics import Metrics
from zvault.engine.token_revocation import TokenRevocation
from zvault.records.errors import RecordError

RETRY_NS = 10 * SECOND_NS

_log = logging.getLogger(__name__)


class Expiration:
    """Ends leases."""

    def __init__(
        self, leases: LeaseBook, revocation: TokenRevocation, clock: Clock, metrics: Metrics
    ) -> None:
        self._leases = leases
        self._revocation = revocation
        self._clock = clock
        self._metrics = metrics

    async def tick(self) -> int:
        """End every lease that is due; how many were tried."""
        due = self._leases.due(self._clock.now_ns())
        for lease_id in due:
            await self._end(lease_id)
        self._metrics.gauge(("expire", "num_leases"), len(self._leases))
        irrevocable = len(self._leases.unreadable)
        self._metrics.gauge(("expire", "num_irrevocable_leases"), irrevocable)
        return len(due)

    async def _end(self, lease_id: str) -> None:
        try:
            await self._revocation.expire(lease_id)
            self._metrics.increment(("expire", "lease_expiration"))
        except (RecordError, UnreadableEntryError) as error:
            self._leases.unreadable[lease_id] = error.message
            _log.error("lease %s cannot be revoked: %s", lease_id, error.message)
        except ZvaultError as error:
            self._metrics.increment(("expire", "lease_expiration", "error"))
            self._leases.schedule(lease_id, self._clock.now_ns() + RETRY_NS)
            _log.error("lease %s is tried again: %s", lease_id, error.message)
        except Exception:
            self._metrics.increment(("expire", "lease_expiration", "error"))
            self._leases.schedule(lease_id, self._clock.now_ns() + RETRY_NS)
            _log.exception("lease %s is tried again", lease_id)

    async def revoke(self, lease_id: str) -> bool:
        """Revoke one lease now; False when there is none. Raises RecordError, StorageError."""
        lease = await self._leases.read(lease_id)
        if lease is None:
            return False
        if lease.auth is None:
            return False
        if not await self._revocation.revoke_tree(lease.client_token):
            await self._revocation.clean_up(lease)
        return True

    async def tidy(self) -> int:
        """End auth leases whose token is gone; how many. Raises StorageError."""
        count = 0
        for lease_id in [item async for item in self._leases.walk("")]:
            try:
                lease = await self._leases.read(lease_id)
            except (RecordError, UnreadableEntryError) as error:
                self._leases.unreadable[lease_id] = error.message
                continue
            if lease is not None and lease.auth is not None:
                count += await self._revocation.clean_up(lease)
        return count

    async def revoke_prefix(self, prefix: str) -> int:
        """Revoke every auth lease below a path, or the lease that is exactly it."""
        exact = prefix.rstrip("/")
        if await self._leases.read(exact) is not None:
            return int(await self.revoke(exact))
        count = 0
        doomed = [lease_id async for lease_id in self._leases.walk(exact + "/")]
        for lease_id in doomed:
            try:
                count += await self.revoke(lease_id)
            except (RecordError, UnreadableEntryError) as error:
                self._leases.unreadable[lease_id] = error.message
        return count
