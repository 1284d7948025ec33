"""Leases: where they are stored and when they end.

What lives here: reading and writing lease entries, the heap of expiry times, the load after
unseal. What never does: what happens to a token or secret whose lease ends (the owner is called).
Invariants: storage is the truth, the heap only says when to look; a lease that does not decode is
named and kept, and stops nothing; times come from the clock parameter.
"""

import asyncio
import heapq
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from zvault.barrier.barrier import Barrier
from zvault.barrier.errors import UnreadableEntryError
from zvault.base.gotime import NEVER_NS, ZERO_NS
from zvault.records.errors import RecordError
from zvault.records.leases import (
    ID_PREFIX,
    LeaseEntry,
    decode_lease,
    encode_lease,
    lease_id_of_token,
)
from zvault.records.tokens import Salter
from zvault.storage.api import Delete, Put

_SLICE_SECONDS = 0.002
_SPARE = 1_000
_TAKEN = -1
"""In place of the expiry of a lease that is being dealt with."""

_log = logging.getLogger(__name__)


def expiry_ns(lease: LeaseEntry) -> int:
    """When the lease ends; ``NEVER_NS`` for Go's zero time."""
    return NEVER_NS if lease.expire_time_ns == ZERO_NS else lease.expire_time_ns


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What the load after unseal found."""

    leases: int
    unreadable: tuple[str, ...]


class LeaseBook:
    """All leases of an unsealed store."""

    def __init__(self, barrier: Barrier, salted: Salter) -> None:
        self._barrier = barrier
        self._salted = salted
        self._expiries: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self.unreadable: dict[str, str] = {}
        """Lease id to the reason it does not open."""
        self.irrevocable: dict[str, str] = {}
        """Lease id to what its engine said, time and again, when it was to be ended."""
        self.secrets: set[str] = set()
        """Ids of the leases that are not a token's."""
        self.is_loaded = False
        """All of them are known; until then storage has to be asked."""

    def __len__(self) -> int:
        return len(self._expiries)

    def id_of_token(self, path: str, token_id: str) -> str:
        """The id of a token's own lease."""
        return lease_id_of_token(path, self._salted(token_id))

    async def read(self, lease_id: str) -> LeaseEntry | None:
        """The stored lease. Raises RecordError, UnreadableEntryError, StorageError."""
        content = await self._barrier.get(ID_PREFIX + lease_id)
        return None if content is None else decode_lease(content)

    async def exists(self, lease_id: str) -> bool:
        """There is an entry, whether it opens or not. Raises StorageError."""
        try:
            return await self.read(lease_id) is not None
        except (RecordError, UnreadableEntryError):
            return True

    def put(self, lease: LeaseEntry) -> Put:
        """The write that stores ``lease``."""
        return Put(ID_PREFIX + lease.lease_id, encode_lease(lease))

    def delete(self, lease_id: str) -> Delete:
        """The write that removes a lease."""
        return Delete(ID_PREFIX + lease_id)

    def schedule(self, lease_id: str, when_ns: int) -> None:
        """Look at the lease again at ``when_ns``; replaces an earlier schedule."""
        self._expiries[lease_id] = when_ns
        if when_ns < NEVER_NS:
            heapq.heappush(self._heap, (when_ns, lease_id))
        if len(self._heap) > 2 * len(self._expiries) + _SPARE:
            self._forget_replaced()

    def _forget_replaced(self) -> None:
        """Leases that are renewed often leave their old times behind in the heap."""
        self._heap = [item for item in self._heap if self._expiries.get(item[1]) == item[0]]
        heapq.heapify(self._heap)

    def forget(self, lease_id: str) -> None:
        """The lease is gone from storage."""
        self._expiries.pop(lease_id, None)
        self.unreadable.pop(lease_id, None)
        self.irrevocable.pop(lease_id, None)
        self.secrets.discard(lease_id)

    def next_ns(self) -> int | None:
        """When something is due next; may be too early, never too late."""
        return self._heap[0][0] if self._heap else None

    def due(self, now_ns: int) -> list[str]:
        """Take the leases whose time has come."""
        result = []
        while self._heap and self._heap[0][0] <= now_ns:
            when, lease_id = heapq.heappop(self._heap)
            if self._expiries.get(lease_id) == when:
                self._expiries[lease_id] = _TAKEN
                result.append(lease_id)
        return result

    async def load(self) -> LoadReport:
        """Schedule every stored lease; ones that do not decode are named. Raises StorageError.

        Storage that answers at once would keep the event loop to itself until the last of
        thousands is read, so the load lets others in every few milliseconds.
        """
        count = 0
        now = asyncio.get_running_loop().time
        until = now() + _SLICE_SECONDS
        async with aclosing(self.walk("")) as ids:
            async for lease_id in ids:
                if now() >= until:
                    await asyncio.sleep(0)
                    until = now() + _SLICE_SECONDS
                if lease_id in self._expiries:
                    continue
                try:
                    lease = await self.read(lease_id)
                except (RecordError, UnreadableEntryError) as error:
                    self.unreadable[lease_id] = error.message
                    _log.error("lease %s is kept but cannot be used: %s", lease_id, error.message)
                    continue
                if lease is not None:
                    count += 1
                    self._note(lease_id, lease)
                    if lease_id not in self._expiries:
                        ends = NEVER_NS if lease.revoke_err else expiry_ns(lease)
                        self.schedule(lease_id, ends)
        self.is_loaded = True
        return LoadReport(count, tuple(self.unreadable))

    def _note(self, lease_id: str, lease: LeaseEntry) -> None:
        if lease.auth is None:
            self.secrets.add(lease_id)
        if lease.revoke_err:
            self.irrevocable[lease_id] = lease.revoke_err

    async def walk(self, prefix: str) -> AsyncGenerator[str, None]:
        """Ids of all leases below ``prefix`` ("" or ending in ``/``). Raises StorageError.

        Who may leave it half-way closes it, or it would outlive a seal.
        """
        for name in await self._barrier.list(ID_PREFIX + prefix):
            if name.endswith("/"):
                async with aclosing(self.walk(prefix + name)) as below:
                    async for lease_id in below:
                        yield lease_id
            else:
                yield prefix + name

    async def children(self, prefix: str) -> list[str]:
        """Immediate children of ``prefix``, folders with ``/``. Raises StorageError."""
        return await self._barrier.list(ID_PREFIX + prefix)
