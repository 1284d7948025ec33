"""Leases end: on time, by id, by prefix, after a failure again.

What lives here: what a background tick does and what revoking means. What never does: when ticks
come (``unsealed.py``), how a token goes (``tokens/revocation.py``), how a secret goes
(``secret_leases.py``).
Invariant: a lease that could not be revoked is tried again; one whose engine says no time and again
is kept, named irrevocable, and stops nothing; the tick never raises for one lease.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import replace

from zvault.barrier.barrier import Barrier
from zvault.barrier.errors import UnreadableEntryError
from zvault.base.clock import Clock
from zvault.base.errors import ZvaultError
from zvault.base.gotime import NEVER_NS, SECOND_NS
from zvault.engine.errors import EngineError
from zvault.engine.leases.book import LeaseBook, expiry_ns
from zvault.engine.leases.secret_leases import EngineNotHereError, SecretLeases
from zvault.engine.telemetry.metrics import Metrics
from zvault.engine.tokens.revocation import TokenRevocation
from zvault.records.errors import RecordError

RETRY_NS = 10 * SECOND_NS
MAX_ATTEMPTS = 6
"""So often an engine may refuse to take a secret back before its lease counts as irrevocable."""

AT_ONCE = 64
"""So many are ended together. One by one, each would wait for a write of its own, and clients that
log in side by side would be faster than their tokens' ends."""

_log = logging.getLogger(__name__)


class Expiration:
    """Ends leases."""

    def __init__(
        self,
        barrier: Barrier,
        leases: LeaseBook,
        revocation: TokenRevocation,
        secrets: SecretLeases,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._barrier = barrier
        self._leases = leases
        self._revocation = revocation
        self._secrets = secrets
        self._clock = clock
        self._metrics = metrics
        self._refusals: Counter[str] = Counter()

    async def tick(self) -> int:
        """End every lease that is due; how many were tried."""
        due = self._leases.due(self._clock.now_ns())
        waiting = iter(due)

        async def end_some() -> None:
            for lease_id in waiting:
                await self._end(lease_id)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(due))):
                group.create_task(end_some())
        self._metrics.gauge(("expire", "num_leases"), len(self._leases))
        irrevocable = len(self._leases.unreadable) + len(self._leases.irrevocable)
        self._metrics.gauge(("expire", "num_irrevocable_leases"), irrevocable)
        return len(due)

    async def _end(self, lease_id: str) -> None:
        is_secret = lease_id in self._leases.secrets
        try:
            if is_secret:
                await self._secrets.end(lease_id, only_due=True)
            else:
                await self._revocation.expire(lease_id)
            self._refusals.pop(lease_id, None)
            self._metrics.increment(("expire", "lease_expiration"))
        except (RecordError, UnreadableEntryError, EngineNotHereError) as error:
            # Kept as it is, for the server that can end it.
            self._leases.unreadable[lease_id] = error.message
            _log.error("lease %s cannot be revoked: %s", lease_id, error.message)
        except ZvaultError as error:
            self._metrics.increment(("expire", "lease_expiration", "error"))
            if is_secret and isinstance(error, EngineError):
                await self._refused(lease_id, error)
                return
            self._leases.schedule(lease_id, self._clock.now_ns() + RETRY_NS)
            _log.error("lease %s is tried again: %s", lease_id, error.message)
        except Exception:
            self._metrics.increment(("expire", "lease_expiration", "error"))
            self._leases.schedule(lease_id, self._clock.now_ns() + RETRY_NS)
            _log.exception("lease %s is tried again", lease_id)

    async def _refused(self, lease_id: str, error: EngineError) -> None:
        """An engine did not take its secret back: later again, or never by itself."""
        self._refusals[lease_id] += 1
        attempt = self._refusals[lease_id]
        if attempt < MAX_ATTEMPTS:
            wait = RETRY_NS << (attempt - 1)
            self._leases.schedule(lease_id, self._clock.now_ns() + wait)
            _log.error("lease %s is tried again: %s", lease_id, error.message)
            return
        del self._refusals[lease_id]
        self._leases.irrevocable[lease_id] = error.message
        self._leases.schedule(lease_id, NEVER_NS)
        _log.error("lease %s is irrevocable: %s", lease_id, error.message)
        try:
            async with self._secrets.hold(lease_id):
                lease = await self._leases.read(lease_id)
                if lease is not None:
                    marked = replace(lease, revoke_err=error.message)
                    await self._barrier.apply([self._leases.put(marked)])
        except ZvaultError as cause:
            _log.error("this could not be noted in the store: %s", cause.message)

    async def revoke(self, lease_id: str, *, force: bool = False) -> bool:
        """Revoke one lease now; False when there is none.

        ``force``: an engine that refuses, or does not run here, and an entry that does not open do
        not count. Raises EngineError, RecordError, UnreadableEntryError, StorageError.
        """
        try:
            lease = await self._leases.read(lease_id)
        except (RecordError, UnreadableEntryError):
            if not force:
                raise
            await self._barrier.apply([self._leases.delete(lease_id)])
            self._leases.forget(lease_id)
            return True
        if lease is None:
            return False
        if lease.auth is None:
            return await self._secrets.end(lease_id, force=force)
        if not await self._revocation.revoke_tree(lease.client_token):
            await self._revocation.clean_up(lease)
        return True

    async def revoke_soon(self, lease_id: str) -> bool:
        """Let a lease be over from now on; the next tick ends it. False when there is none."""
        lease = await self._leases.read(lease_id)
        if lease is None:
            return False
        if lease.auth is not None:
            await self._revocation.expire_now(lease_id, lease.client_token)
            return True
        async with self._secrets.hold(lease_id):
            lease = await self._leases.read(lease_id)
            if lease is None:
                return False
            now = self._clock.now_ns()
            if expiry_ns(lease) > now:
                await self._barrier.apply([self._leases.put(replace(lease, expire_time_ns=now))])
            self._leases.secrets.add(lease_id)
            self._leases.schedule(lease_id, now)
        return True

    async def tidy(self) -> int:
        """End leases whose token is gone; how many. Raises StorageError."""
        count = 0
        for lease_id in [item async for item in self._leases.walk("")]:
            try:
                lease = await self._leases.read(lease_id)
            except (RecordError, UnreadableEntryError) as error:
                self._leases.unreadable[lease_id] = error.message
                continue
            if lease is None:
                continue
            if lease.auth is not None:
                count += await self._revocation.clean_up(lease)
            elif not lease.revoke_err and not await self._revocation.knows(lease.client_token):
                count += await self.revoke_soon(lease_id)
        return count + await self._secrets.tidy()

    async def revoke_prefix(self, prefix: str, *, force: bool = False, soon: bool = False) -> int:
        """Revoke every lease below a path, or the lease that is exactly it; how many.

        What does not open is named and left, and what its engine does not take back is tried again
        by ticks. Raises EngineError for the first that was refused, after all were tried.
        """
        exact = prefix.rstrip("/")
        doomed = [lease_id async for lease_id in self._leases.walk(exact + "/")]
        if await self._leases.exists(exact):
            doomed = [exact]
        count, refusal = 0, None
        for lease_id in doomed:
            try:
                if soon:
                    count += await self.revoke_soon(lease_id)
                else:
                    count += await self.revoke(lease_id, force=force)
            except (RecordError, UnreadableEntryError) as error:
                self._leases.unreadable[lease_id] = error.message
            except EngineError as error:
                refusal = refusal or error
        if refusal is not None:
            raise refusal
        return count
