"""How tokens begin and go on: issued, used, renewed.

What lives here: every write to a living token. What never does: who may ask for it
(``backends/token``), how tokens end (``revocation.py``).
Invariants: a token is handed out only after it and its lease are stored; a child whose parent is
revoked meanwhile is taken back; a use is counted durably before the request it is for; renewals
and uses hold the token's lock.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from zvault.barrier.barrier import Barrier
from zvault.base.clock import Clock
from zvault.base.gotime import SECOND_NS, ZERO_NS
from zvault.engine.api import Auth
from zvault.engine.errors import InvalidRequestError, PermissionDeniedError
from zvault.engine.leases.book import LeaseBook
from zvault.engine.leases.ttl import PastMaxTtlError, TtlRequest, decide_ttl
from zvault.engine.locks import KeyLocks
from zvault.engine.tokens.batch import encode_batch
from zvault.engine.tokens.doomed import Doomed
from zvault.engine.tokens.leases import auth_of_lease, new_lease
from zvault.engine.tokens.mint import Mint
from zvault.engine.tokens.sessions import Session, Sessions
from zvault.engine.tokens.store import TokenStore
from zvault.records.leases import LeaseEntry
from zvault.records.mounts import MountEntry
from zvault.records.tokens import BATCH, SERVICE, TokenEntry
from zvault.storage.api import Operation

USED_UP = -1
"""``num_uses`` of a token whose last use has begun."""

TOKEN_ROLE = "token_role"  # noqa: S105 - a field's name
"""In ``internal_data`` of a renewal: the token role; never stored."""

Limits = Callable[[str], tuple[int, int]]
"""Token path to (default TTL, max TTL) of the mount it was made at."""
RenewHook = Callable[[str, Auth], Awaitable[Auth]]
"""Token path and login to what the auth method grants now."""
Belongings = Callable[[TokenEntry], Sequence[Operation]]
"""Writes that are part of a new token; they are durable with it and follow its own."""
OnIssued = Callable[[TokenEntry, MountEntry | None, float], None]
"""A new token, the auth method of a login, and how many milliseconds it took."""


class TokenService:
    """Issues, uses and renews."""

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
        limits: Limits,
        renew_hook: RenewHook,
        on_issued: OnIssued,
    ) -> None:
        self._barrier = barrier
        self.store = store
        self.sessions = sessions
        self._leases = leases
        self._locks = locks
        self._doomed = doomed
        self._clock = clock
        self._limits = limits
        self._renew_hook = renew_hook
        self._on_issued = on_issued

    async def issue(
        self,
        auth: Auth,
        entry: TokenEntry,
        *,
        mount: MountEntry | None = None,
        belongings: Belongings | None = None,
    ) -> TokenEntry:
        """Make the token that ``entry`` describes and fill ``auth`` with what its owner gets.

        ``entry.id`` may be chosen by the caller; accessor and cubbyhole are always fresh.
        ``mount``: the auth method of a login. Raises PermissionDeniedError when the parent dies
        meanwhile, InvalidRequestError, StorageError.
        """
        started = self._clock.monotonic()
        issued = await self._issue(auth, entry, mount, belongings)
        self._on_issued(issued, mount, (self._clock.monotonic() - started) * 1e3)
        return issued

    async def _issue(
        self,
        auth: Auth,
        entry: TokenEntry,
        mount: MountEntry | None,
        belongings: Belongings | None,
    ) -> TokenEntry:
        if entry.type == BATCH:
            return self._issue_batch(auth, entry)
        is_custom = bool(entry.id)
        names = self.store.new_names()
        entry = replace(
            entry,
            id=entry.id or names.id,
            accessor=names.accessor,
            cubbyhole_id=names.cubbyhole_id,
            type=SERVICE,
        )
        async with self._locks.hold(entry.id):
            if is_custom and await self.store.read(entry.id) is not None:
                raise InvalidRequestError("cannot create a token with a duplicate ID")
            lease = self._new_lease(auth, entry, mount) if entry.ttl_ns else None
            more = () if belongings is None else belongings(entry)
            writes = [*self.store.creation(entry, lease), *more]
            ends = None if lease is None else (lease.lease_id, lease.expire_time_ns)
            await self._write_new(entry.parent, ends, writes, lambda: entry)
        self._hand_out(auth, entry.id, entry.accessor, entry)
        return entry

    async def issue_alike(self, auth: Auth, mint: Mint) -> None:
        """As ``issue``, for a token that its grant has made the like of before. Raises as that."""
        started = self._clock.monotonic()
        names, now_ns, parent = self.store.new_names(), self._clock.now_ns(), mint.entry.parent
        async with self._locks.hold(names.id):
            struck = mint.strike(names, self.store.salted(names.id), now_ns)
            writes = self.store.creation_of(struck, names, parent)
            ends = (struck.lease_id, struck.expires_ns)
            await self._write_new(parent, ends, writes, lambda: mint.entry_of(names, now_ns))
        self._hand_out(auth, names.id, names.accessor, mint.entry)
        self._on_issued(mint.entry, mint.mount, (self._clock.monotonic() - started) * 1e3)

    def mint_for(self, auth: Auth, entry: TokenEntry, mount: MountEntry | None = None) -> Mint:
        """What ``issue_alike`` wants, of an ``entry`` with a TTL and without an id."""
        return Mint(auth, entry, mount, self.store.random_bytes)

    def _hand_out(self, auth: Auth, inner_id: str, accessor: str, entry: TokenEntry) -> None:
        auth.client_token = self.store.external_id(inner_id, is_root=entry.is_root)
        auth.accessor = accessor
        auth.lease_seconds = entry.ttl_ns // SECOND_NS

    async def _write_new(
        self,
        parent: str,
        ends: tuple[str, int] | None,
        writes: Sequence[Operation],
        made: Callable[[], TokenEntry],
    ) -> None:
        """``ends``: the lease's id and when it is over. ``made``: the token, to be taken back."""
        self._doomed.child_begins(parent)
        try:
            if parent and not await self.sessions.is_alive(parent):
                raise PermissionDeniedError("permission denied")
            if ends is not None:
                # Before the write: if that fails half-way, the lease still takes away what is
                # there.
                self._leases.schedule(*ends)
            await self._barrier.apply(writes)
            if parent and parent in self._doomed:
                await self._barrier.apply(self.store.removal(made()))
                if ends is not None:
                    self._leases.forget(ends[0])
                raise PermissionDeniedError("permission denied")
        finally:
            self._doomed.child_done(parent)

    def _issue_batch(self, auth: Auth, entry: TokenEntry) -> TokenEntry:
        auth.client_token = encode_batch(self._barrier, replace(entry, type=BATCH))
        auth.accessor = ""
        auth.renewable = False
        auth.lease_seconds = entry.ttl_ns // SECOND_NS
        return replace(entry, id=auth.client_token, type=BATCH)

    def _new_lease(self, auth: Auth, entry: TokenEntry, mount: MountEntry | None) -> LeaseEntry:
        salted_id, now_ns = self.store.salted(entry.id), self._clock.now_ns()
        return new_lease(auth, entry, mount, salted_id=salted_id, now_ns=now_ns)

    async def use(self, session: Session) -> Session | None:
        """Take one use off a counted token; None when there was none left.

        The count is durable on return. The token returned shows what is left; ``USED_UP`` means
        that it has to be revoked after the request.
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
        auth.client_token = self.store.external_id(inner, is_root=entry.is_root)
        return entry, auth, list(granted.warnings)
