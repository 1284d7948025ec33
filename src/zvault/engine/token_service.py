"""What happens to tokens: issued, used up, renewed, revoked with all they have made.

What lives here: the life of a token from first write to last. What never does: who may ask for it
(``backends/token``), HTTP.
Invariants: a token is handed out only after it and its lease are stored; from the moment a
revocation begins the token and all below it are dead in memory, and children go before their
parent in storage, so nothing outlives the one it came from; a renewal and a revocation of one
token follow each other.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from zvault.barrier.barrier import Barrier
from zvault.base.clock import Clock
from zvault.base.gotime import SECOND_NS, ZERO_NS
from zvault.engine.api import Auth
from zvault.engine.batch_tokens import encode_batch
from zvault.engine.errors import InvalidRequestError, PermissionDeniedError
from zvault.engine.leases import NEVER_NS, LeaseBook, expiry_ns
from zvault.engine.locks import KeyLocks
from zvault.engine.sessions import Session, Sessions
from zvault.engine.token_store import TokenStore
from zvault.engine.ttl import PastMaxTtlError, TtlRequest, decide_ttl
from zvault.records.leases import LeaseAuth, LeaseEntry
from zvault.records.mounts import MountEntry
from zvault.records.tokens import BATCH, SERVICE, TokenEntry
from zvault.storage.api import Delete, Operation

_CHUNK = 64
USED_UP = -1
"""``num_uses`` of a token whose last use has begun."""

TOKEN_ROLE = "token_role"  # noqa: S105 - a field's name
"""In ``internal_data`` of a renewal: the token role; never stored."""

_log = logging.getLogger(__name__)

CubbyholeSweep = Callable[[str], Awaitable[None]]
Limits = Callable[[str], tuple[int, int]]
"""Token path to (default TTL, max TTL) of the mount it was made at."""
RenewHook = Callable[[str, Auth], Awaitable[Auth]]
"""Token path and login to what the auth method grants now."""
OnIssued = Callable[[TokenEntry, MountEntry | None, float], None]
"""A new token, the auth method of a login, and how many milliseconds it took."""


class TokenService:
    """Issues, uses, renews and revokes."""

    def __init__(
        self,
        barrier: Barrier,
        store: TokenStore,
        sessions: Sessions,
        leases: LeaseBook,
        locks: KeyLocks,
        clock: Clock,
        *,
        limits: Limits,
        renew_hook: RenewHook,
        sweep_cubbyhole: CubbyholeSweep,
        on_issued: OnIssued,
    ) -> None:
        self._barrier = barrier
        self.store = store
        self.sessions = sessions
        self._leases = leases
        self._locks = locks
        self._clock = clock
        self._limits = limits
        self._renew_hook = renew_hook
        self._sweep_cubbyhole = sweep_cubbyhole
        self._on_issued = on_issued
        self._creating: Counter[str] = Counter()
        self._marks: Counter[str] = Counter()

    async def issue(
        self, auth: Auth, entry: TokenEntry, *, mount: MountEntry | None = None
    ) -> TokenEntry:
        """Make the token that ``entry`` describes and fill ``auth`` with what its owner gets.

        ``entry.id`` may be chosen by the caller; accessor and cubbyhole are always fresh.
        ``mount``: the auth method of a login. Raises PermissionDeniedError when the parent dies
        meanwhile, InvalidRequestError, StorageError.
        """
        started = self._clock.monotonic()
        issued = await self._issue(auth, entry, mount)
        self._on_issued(issued, mount, (self._clock.monotonic() - started) * 1e3)
        return issued

    async def _issue(self, auth: Auth, entry: TokenEntry, mount: MountEntry | None) -> TokenEntry:
        if entry.type == BATCH:
            return self._issue_batch(auth, entry)
        is_custom = bool(entry.id)
        entry = replace(
            entry,
            id=entry.id or self.store.new_id(),
            accessor=self.store.new_name(),
            cubbyhole_id=self.store.new_name(),
            type=SERVICE,
        )
        async with self._locks.hold(entry.id):
            if is_custom and await self.store.read(entry.id) is not None:
                raise InvalidRequestError("cannot create a token with a duplicate ID")
            self._creating[entry.parent] += 1
            try:
                await self._write_new(auth, entry, mount)
            finally:
                self._created(entry.parent)
        auth.client_token = self.store.external_id(entry)
        auth.accessor = entry.accessor
        auth.lease_seconds = entry.ttl_ns // SECOND_NS
        return entry

    async def _write_new(self, auth: Auth, entry: TokenEntry, mount: MountEntry | None) -> None:
        if entry.parent and not await self.sessions.is_alive(entry.parent):
            raise PermissionDeniedError("permission denied")
        lease = self._new_lease(auth, entry, mount) if entry.ttl_ns else None
        await self._barrier.apply(self.store.creation(entry, lease))
        if entry.parent and entry.parent in self.sessions.revoking:
            await self._barrier.apply(self.store.removal(entry))
            raise PermissionDeniedError("permission denied")
        if lease is not None:
            self._leases.schedule(lease.lease_id, lease.expire_time_ns)

    def _created(self, parent: str) -> None:
        self._creating[parent] -= 1
        if not self._creating[parent]:
            del self._creating[parent]
            if not self._marks[parent]:
                self.sessions.revoking.discard(parent)

    def _issue_batch(self, auth: Auth, entry: TokenEntry) -> TokenEntry:
        auth.client_token = encode_batch(self._barrier, replace(entry, type=BATCH))
        auth.accessor = ""
        auth.renewable = False
        auth.lease_seconds = entry.ttl_ns // SECOND_NS
        return replace(entry, id=auth.client_token, type=BATCH)

    def _new_lease(self, auth: Auth, entry: TokenEntry, mount: MountEntry | None) -> LeaseEntry:
        now = self._clock.now_ns()
        role = auth.internal_data.get("role_name", "")
        return LeaseEntry(
            lease_id=self._leases.id_of_token(entry.path, entry.id),
            client_token=entry.id,
            path=entry.path,
            auth=_lease_auth(auth, entry, mount),
            issue_time_ns=now,
            expire_time_ns=now + entry.ttl_ns,
            login_role=role if isinstance(role, str) else "",
        )

    async def use(self, session: Session) -> Session | None:
        """Take one use off a counted token; None when there was none left.

        The count is durable on return. The token returned shows what is left; 0 left means
        ``finish_use`` has to be called after the request.
        """
        inner = session.token.id
        async with self._locks.hold(inner):
            fresh = await self.sessions.read(inner)
            if fresh is None:
                return None
            left = fresh.token.num_uses - 1
            stored = replace(fresh.token, num_uses=left or USED_UP)
            await self._barrier.apply([self.store.put(stored)])
            fresh.token = stored
        return await self.sessions.rights(fresh)

    async def renew(self, inner: str, increment_ns: int) -> tuple[TokenEntry, Auth, list[str]]:
        """Extend a token's lease; what was granted and the warnings about it.

        Raises InvalidRequestError, StorageError.
        """
        async with self._locks.hold(inner):
            session = await self.sessions.read(inner)
            if session is None:
                raise InvalidRequestError("token not found")
            entry, lease = session.token, session.lease
            if lease is None or lease.auth is None:
                raise InvalidRequestError("invalid lease ID")
            now = self._clock.now_ns()
            if lease.expire_time_ns != ZERO_NS and lease.expire_time_ns <= now:
                raise InvalidRequestError("lease expired")
            if not lease.auth.renewable:
                raise InvalidRequestError("lease is not renewable")
            asked = auth_of_lease(lease.auth)
            if entry.role:
                asked.internal_data[TOKEN_ROLE] = entry.role
            auth = await self._renew_hook(entry.path, asked)
            default, longest = self._limits(entry.path)
            try:
                granted = decide_ttl(
                    TtlRequest(
                        now_ns=now,
                        default_ttl_ns=default,
                        max_ttl_ns=longest,
                        increment_ns=increment_ns,
                        ttl_ns=auth.ttl_ns,
                        period_ns=auth.period_ns,
                        issuer_max_ttl_ns=auth.max_ttl_ns,
                        explicit_max_ttl_ns=auth.explicit_max_ttl_ns,
                        issued_ns=lease.issue_time_ns,
                    )
                )
            except PastMaxTtlError:
                raise InvalidRequestError("past the max TTL, cannot renew") from None
            renewed = replace(
                lease,
                auth=replace(
                    lease.auth,
                    lease_ns=granted.ttl_ns,
                    max_ttl_ns=auth.max_ttl_ns,
                    period_ns=auth.period_ns,
                    explicit_max_ttl_ns=auth.explicit_max_ttl_ns,
                ),
                expire_time_ns=now + granted.ttl_ns,
                last_renewal_time_ns=now,
            )
            await self._barrier.apply([self._leases.put(renewed)])
            self.sessions.drop(inner)
            self._leases.schedule(renewed.lease_id, renewed.expire_time_ns)
        auth.lease_seconds = granted.ttl_ns // SECOND_NS
        auth.client_token = self.store.external_id(entry)
        return entry, auth, list(granted.warnings)

    async def revoke_tree(self, inner: str) -> bool:
        """Revoke a token and everything it has made; False when there is no such token.

        Raises StorageError; may be repeated.
        """
        marked = [inner]
        self._mark(inner)
        try:
            entry = await self.store.read(inner)
            if entry is None:
                return False
            doomed = await self._family_of(entry, marked)
            for start in range(0, len(doomed), _CHUNK):
                await self._remove(doomed[start : start + _CHUNK])
            return True
        finally:
            self._unmark(marked)

    async def _family_of(self, entry: TokenEntry, marked: list[str]) -> list[TokenEntry]:
        """The token and all below it, children before parents; each marked as it is found."""
        found: list[TokenEntry] = []
        seen = {entry.id}
        waiting = [entry]
        while waiting:
            current = waiting.pop()
            found.append(current)
            for child in await self.store.children(current.id):
                if child in seen:
                    continue
                seen.add(child)
                marked.append(child)
                self._mark(child)
                child_entry = await self.store.read(child)
                if child_entry is not None:
                    waiting.append(child_entry)
        found.reverse()
        return found

    def _mark(self, token: str) -> None:
        """From now on the token is dead, whatever storage says."""
        self._marks[token] += 1
        self.sessions.revoking.add(token)
        self.sessions.drop(token)

    def _unmark(self, marked: Sequence[str]) -> None:
        """The mark of a token that is just now making a child stays until the child is judged."""
        for token in marked:
            self.sessions.drop(token)
            self._marks[token] -= 1
            if not self._marks[token]:
                del self._marks[token]
                if not self._creating[token]:
                    self.sessions.revoking.discard(token)

    async def revoke_orphan(self, inner: str) -> bool:
        """Revoke one token; its children live on as orphans. False when there is no such token."""
        self._mark(inner)
        try:
            entry = await self.store.read(inner)
            if entry is None:
                return False
            for child in await self.store.children(inner):
                await self._orphan(child)
            await self._remove([entry])
            return True
        finally:
            self._unmark([inner])

    async def _orphan(self, child: str) -> None:
        async with self._locks.hold(child):
            entry = await self.store.get(child)
            if entry is not None and entry.parent:
                await self._barrier.apply([self.store.put(replace(entry, parent=""))])
                self.sessions.drop(child)

    async def _remove(self, entries: Sequence[TokenEntry]) -> None:
        """Remove tokens in the given order, each lock held while its entries go."""
        for entry in entries:
            if entry.cubbyhole_id:
                await self._sweep_cubbyhole(entry.cubbyhole_id)
        operations: list[Operation] = []
        for entry in entries:
            index = await self.store.child_index(entry.id)
            operations += [Delete(key) for key in index]
            operations += self.store.removal(entry)
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

        Secret leases of engines this server does not run are kept, and named, for the server that
        can revoke them. Raises RecordError, StorageError.
        """
        lease = await self._leases.read(lease_id)
        if lease is None:
            self._leases.forget(lease_id)
            return
        if lease.auth is None:
            self._leases.unreadable[lease_id] = "it is of an engine that this server does not run"
            return
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

    async def tidy(self) -> int:
        """Remove index entries that lead to no token; how many. Raises StorageError."""
        count = 0
        for operation, inner in await self.store.stale_accessors():
            async with self._locks.hold(inner):
                if await self.store.read(inner) is None:
                    await self._barrier.apply([operation])
                    count += 1
        indexes = await self.store.orphaned_indexes()
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
            if await self.store.read(ghost.id) is not None:
                return False
            operations = [*await self.store.indexes_to(ghost.id), *self.store.removal(ghost)]
            own = self._leases.delete(lease.lease_id)
            if operations[-1].key != own.key:
                operations.append(own)
            await self._barrier.apply(operations)
            self._leases.forget(lease.lease_id)
            return True


def _lease_auth(auth: Auth, entry: TokenEntry, mount: MountEntry | None) -> LeaseAuth:
    alias = None
    if auth.alias_name and mount is not None:
        alias = {
            "mount_type": mount.type,
            "mount_accessor": mount.accessor,
            "name": auth.alias_name,
            "metadata": dict(auth.metadata) or None,
        }
    return LeaseAuth(
        lease_ns=entry.ttl_ns,
        max_ttl_ns=auth.max_ttl_ns,
        renewable=auth.renewable,
        internal_data=dict(auth.internal_data),
        display_name=entry.display_name,
        policies=tuple(auth.policies),
        token_policies=entry.policies,
        identity_policies=tuple(auth.identity_policies),
        no_default_policy=auth.no_default_policy,
        metadata=dict(auth.metadata),
        client_token=entry.id,
        accessor=entry.accessor,
        period_ns=auth.period_ns,
        explicit_max_ttl_ns=auth.explicit_max_ttl_ns,
        num_uses=entry.num_uses,
        entity_id=entry.entity_id,
        alias=alias,
        bound_cidrs=tuple(auth.bound_cidrs),
        creation_path="" if mount is not None else entry.path,
        token_type=SERVICE,
        orphan=not entry.parent,
    )


def auth_of_lease(lease: LeaseAuth) -> Auth:
    """The login that a lease remembers, for its auth method to judge again."""
    return Auth(
        policies=lease.policies,
        metadata=dict(lease.metadata),
        internal_data=dict(lease.internal_data),
        display_name=lease.display_name,
        ttl_ns=lease.lease_ns,
        max_ttl_ns=lease.max_ttl_ns,
        period_ns=lease.period_ns,
        explicit_max_ttl_ns=lease.explicit_max_ttl_ns,
        renewable=lease.renewable,
        num_uses=lease.num_uses,
        bound_cidrs=lease.bound_cidrs,
        no_default_policy=lease.no_default_policy,
        orphan=lease.orphan,
        accessor=lease.accessor,
        entity_id=lease.entity_id,
    )


def remaining_ns(session: Session, now_ns: int) -> int:
    """What is left of a token; 0 for one that never expires."""
    return 0 if session.expires_ns >= NEVER_NS else max(0, session.expires_ns - now_ns)
