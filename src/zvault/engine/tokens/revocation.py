"""How tokens end: revoked with all they have made, expired, cleaned up after.

What lives here: every way out of the token store. What never does: who may ask for it
(``backends/token``), when time is up (``leases/expiration.py``).
Invariants: from the moment a revocation begins the token and all below it are dead in memory;
children go before their parent in storage, so nothing outlives the one it came from; entries go
under the token's lock, so a renewal or a use comes wholly before or not at all.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from zvault.barrier.barrier import Barrier
from zvault.base.clock import Clock
from zvault.engine.leases.book import LeaseBook, expiry_ns
from zvault.engine.locks import KeyLocks
from zvault.engine.tokens.batch import is_batch
from zvault.engine.tokens.doomed import Doomed
from zvault.engine.tokens.sessions import Sessions
from zvault.engine.tokens.store import TokenStore
from zvault.records.errors import RecordError
from zvault.records.leases import LeaseAuth, LeaseEntry
from zvault.records.tokens import TokenEntry
from zvault.storage.api import Delete, Operation

_CHUNK = 64

SecretsEnd = Callable[[str], Awaitable[list[Operation]]]
"""Writes that end what a token (inner id) has leased."""
CubbyholeSweep = Callable[[str], Awaitable[None]]
"""Removes everything of one cubbyhole."""


class TokenRevocation:
    """Takes tokens away."""

    def __init__(
        self,
        barrier: Barrier,
        store: TokenStore,
        sessions: Sessions,
        leases: LeaseBook,
        locks: KeyLocks,
        doomed: Doomed,
        clock: Clock,
        *,
        sweep_cubbyhole: CubbyholeSweep,
        end_secrets: SecretsEnd,
    ) -> None:
        self._barrier = barrier
        self._store = store
        self._sessions = sessions
        self._leases = leases
        self._locks = locks
        self._doomed = doomed
        self._clock = clock
        self._sweep_cubbyhole = sweep_cubbyhole
        self._end_secrets = end_secrets

    async def revoke_tree(self, inner: str) -> bool:
        """Revoke a token and everything it has made; False when there is no such token.

        Raises StorageError; may be repeated.
        """
        marked = [inner]
        self._mark(inner)
        try:
            entry = await self._store.read(inner)
            if entry is None:
                return False
            for generation in reversed(await self._generations(entry, marked)):
                for start in range(0, len(generation), _CHUNK):
                    await self._remove(generation[start : start + _CHUNK])
            return True
        finally:
            self._unmark(marked)

    async def _generations(self, entry: TokenEntry, marked: list[str]) -> list[list[TokenEntry]]:
        """The token, its children, their children, …; each marked as it is found.

        A generation is durable before the one above it begins to go: storage does not promise the
        order inside one batch after a power cut, and a child must not be left without its parent.
        """
        generations = [[entry]]
        seen = {entry.id}
        while generations[-1]:
            below: list[TokenEntry] = []
            for parent in generations[-1]:
                for child in await self._store.children(parent.id):
                    if child in seen:
                        continue
                    seen.add(child)
                    marked.append(child)
                    self._mark(child)
                    child_entry = await self._store.read(child)
                    if child_entry is not None:
                        below.append(child_entry)
            generations.append(below)
        return generations

    def _mark(self, token: str) -> None:
        self._doomed.mark(token)
        self._sessions.drop(token)

    def _unmark(self, marked: Sequence[str]) -> None:
        for token in marked:
            self._sessions.drop(token)
            self._doomed.unmark(token)

    async def revoke_orphan(self, inner: str) -> bool:
        """Revoke one token; its children live on as orphans. False when there is no such token."""
        self._mark(inner)
        try:
            entry = await self._store.read(inner)
            if entry is None:
                return False
            for child in await self._store.children(inner):
                await self._orphan(child)
            await self._remove([entry])
            return True
        finally:
            self._unmark([inner])

    async def _orphan(self, child: str) -> None:
        async with self._locks.hold(child):
            entry = await self._store.get(child)
            if entry is not None and entry.parent:
                await self._barrier.apply([self._store.put(replace(entry, parent=""))])
                self._sessions.drop(child)

    async def _remove(self, entries: Sequence[TokenEntry]) -> None:
        """Remove tokens in the given order, each lock held while its entries go."""
        for entry in entries:
            if entry.cubbyhole_id:
                await self._sweep_cubbyhole(entry.cubbyhole_id)
        operations: list[Operation] = []
        for entry in entries:
            operations += await self._end_secrets(entry.id)
            index = await self._store.child_index(entry.id)
            operations += [Delete(key) for key in index]
            operations += self._store.removal(entry)
        holds = [self._locks.hold(key) for key in sorted({entry.id for entry in entries})]
        entered = []
        try:
            for hold in holds:
                await hold.__aenter__()
                entered.append(hold)
            await self._barrier.apply(operations)
        finally:
            for hold in reversed(entered):
                await hold.__aexit__(None, None, None)
        for entry in entries:
            self._leases.forget(self._leases.id_of_token(entry.path, entry.id))

    async def expire(self, lease_id: str) -> None:
        """A lease's time has come: revoke its token, or drop what is left of one.

        Raises RecordError, StorageError.
        """
        lease = await self._leases.read(lease_id)
        if lease is None:
            self._leases.forget(lease_id)
            return
        if lease.auth is None:
            raise RecordError("lease: it is not a token's")
        token = lease.client_token
        async with self._locks.hold(token):
            lease = await self._leases.read(lease_id)
            if lease is None:
                self._leases.forget(lease_id)
                return
            if expiry_ns(lease) > self._clock.now_ns():
                self._leases.schedule(lease_id, expiry_ns(lease))
                return
            self._mark(token)
        try:
            if not await self.revoke_tree(token):
                await self.clean_up(lease)
        finally:
            self._unmark([token])

    async def expire_now(self, lease_id: str, token: str) -> None:
        """Let a token's lease be over from now on; its end follows with the next tick."""
        async with self._locks.hold(token):
            lease = await self._leases.read(lease_id)
            if lease is None:
                return
            now = self._clock.now_ns()
            if expiry_ns(lease) > now:
                ended = replace(lease, expire_time_ns=now)
                await self._barrier.apply([self._leases.put(ended)])
            self._sessions.drop(token)
            self._leases.schedule(lease_id, now)

    async def knows(self, token: str) -> bool:
        """There is such a token, used up or not; a batch token is not looked for."""
        return is_batch(token) or await self._store.read(token) is not None

    async def tidy(self) -> int:
        """Remove index entries that lead to no token; how many. Raises StorageError."""
        count = 0
        for operation, inner in await self._store.stale_accessors():
            async with self._locks.hold(inner):
                if await self._store.read(inner) is None:
                    await self._barrier.apply([operation])
                    count += 1
        indexes = await self._store.orphaned_indexes()
        if indexes:
            await self._barrier.apply(indexes)
        return count + len(indexes)

    async def clean_up(self, lease: LeaseEntry) -> bool:
        """Remove what a half-finished creation or revocation has left; False when the token lives.

        Raises RecordError, StorageError.
        """
        auth = lease.auth or LeaseAuth()
        ghost = TokenEntry(id=lease.client_token, accessor=auth.accessor, path=lease.path)
        async with self._locks.hold(ghost.id):
            if await self._store.read(ghost.id) is not None:
                return False
            operations = [*await self._store.indexes_to(ghost.id), *self._store.removal(ghost)]
            own = self._leases.delete(lease.lease_id)
            if operations[-1].key != own.key:
                operations.append(own)
            await self._barrier.apply(operations)
            self._leases.forget(lease.lease_id)
            return True
