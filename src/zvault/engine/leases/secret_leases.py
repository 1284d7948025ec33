"""Leases of secrets that engines make: begun, renewed, ended.

What lives here: the lease entry and its index under the token, and who is called when it ends.
What never does: what a secret is (its backend knows), when time is up (``expiration.py``), leases
of tokens (``tokens/service.py``).
Invariants: a secret is handed out only after its lease is stored; it ends with the token that asked
for it; the backend has taken it back before its lease goes, unless an operator forces it; a lease
of an engine that does not run here is kept for the server that can end it.
Source: ``docs/api/sys.md``.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from zvault.barrier.barrier import Barrier
from zvault.base.clock import Clock
from zvault.base.gotime import NEVER_NS, SECOND_NS
from zvault.base.ids import RandomBytes, base62
from zvault.engine.api import LeasingBackend, Request, Response, SecretGrant
from zvault.engine.errors import InvalidRequestError, PermissionDeniedError
from zvault.engine.leases.book import LeaseBook, expiry_ns
from zvault.engine.leases.ttl import Granted, PastMaxTtlError, TtlRequest, decide_ttl
from zvault.engine.locks import Hold, KeyLocks
from zvault.engine.mounts.mounted import Mounted
from zvault.engine.mounts.router import Router
from zvault.engine.tokens.doomed import Doomed
from zvault.engine.tokens.service import USED_UP
from zvault.engine.tokens.store import TokenStore
from zvault.records.leases import TOKEN_INDEX_PREFIX, LeaseEntry, secret_of, secret_view
from zvault.records.tokens import BATCH, TokenEntry
from zvault.storage.api import Delete, Operation, Put

_ID_LENGTH = 24
_LAST_USE = (
    "Secret cannot be returned; token had one use left, so leased credentials were immediately "
    "revoked."
)

Limits = Callable[[str], tuple[int, int]]
"""Request path to (default TTL, max TTL) of its mount."""

_log = logging.getLogger(__name__)


class EngineNotHereError(InvalidRequestError):
    """The lease is of an engine that this server does not run."""

    code = "lease-engine-not-here"

    def __init__(self, act: str) -> None:
        super().__init__(
            f"this server does not run the engine of this lease, so it cannot {act} it"
        )


class SecretLeases:
    """Keeps the leases of one unsealed store's secrets."""

    def __init__(
        self,
        barrier: Barrier,
        book: LeaseBook,
        tokens: TokenStore,
        router: Router[Mounted],
        locks: KeyLocks,
        doomed: Doomed,
        clock: Clock,
        *,
        limits: Limits,
        random_bytes: RandomBytes,
    ) -> None:
        self._barrier = barrier
        self._book = book
        self._tokens = tokens
        self._router = router
        self._locks = locks
        self._doomed = doomed
        self._clock = clock
        self._limits = limits
        self._random_bytes = random_bytes

    # -- the beginning -----------------------------------------------------------------------

    async def register(self, request: Request, response: Response) -> None:
        """Store the lease of a secret that a backend has just made; fill the response.

        Raises InvalidRequestError (the token's last use), PermissionDeniedError (it died
        meanwhile), StorageError; the secret is then taken back.
        """
        grant, token = response.secret, request.token
        if grant is None:
            return
        if token is None:
            await self._take_back(request.path, grant)
            raise PermissionDeniedError("permission denied")
        owner = _owner(token)
        self._doomed.child_begins(owner)
        try:
            await self._begin(request, response, grant, token, owner)
        except BaseException:
            if not response.lease_id:
                await self._take_back(request.path, grant)
            raise
        finally:
            self._doomed.child_done(owner)

    async def _begin(
        self,
        request: Request,
        response: Response,
        grant: SecretGrant,
        token: TokenEntry,
        owner: str,
    ) -> None:
        if token.num_uses == USED_UP:
            raise InvalidRequestError(_LAST_USE)
        if owner and await self._tokens.get(owner) is None:
            raise PermissionDeniedError("permission denied")
        granted = self._granted(request.path, grant)
        ttl_ns = granted.ttl_ns
        now = self._clock.now_ns()
        if token.type == BATCH:
            ttl_ns = min(ttl_ns, token.creation_time * SECOND_NS + token.ttl_ns - now)
        name = base62(self._random_bytes, _ID_LENGTH)
        lease = LeaseEntry(
            lease_id=f"{request.path.rstrip('/')}/{name}",
            client_token=token.id,
            token_type=token.type,
            path=request.path,
            data=dict(response.data or {}),
            secret=secret_view(
                ttl_ns, grant.max_ttl_ns, grant.internal_data, renewable=grant.renewable
            ),
            issue_time_ns=now,
            expire_time_ns=now + ttl_ns,
        )
        # Before the write: if that fails half-way, its time still takes away what is there.
        self._book.schedule(lease.lease_id, lease.expire_time_ns)
        self._book.secrets.add(lease.lease_id)
        writes: list[Operation] = [self._book.put(lease)]
        if owner:
            writes.append(Put(self._index(owner, lease.lease_id), lease.lease_id.encode()))
        await self._barrier.apply(writes)
        if owner and owner in self._doomed:
            response.lease_id = lease.lease_id
            await self.end(lease.lease_id)
            raise PermissionDeniedError("permission denied")
        response.warnings.extend(granted.warnings)
        response.lease_id = lease.lease_id
        response.lease_seconds = ttl_ns // SECOND_NS
        response.renewable = grant.renewable

    def _granted(
        self, path: str, grant: SecretGrant, *, increment_ns: int = 0, issued_ns: int = 0
    ) -> Granted:
        default, longest = self._limits(path)
        try:
            return decide_ttl(
                TtlRequest(
                    now_ns=self._clock.now_ns(),
                    default_ttl_ns=default,
                    max_ttl_ns=longest,
                    increment_ns=increment_ns,
                    ttl_ns=grant.ttl_ns,
                    issuer_max_ttl_ns=grant.max_ttl_ns,
                    issued_ns=issued_ns,
                )
            )
        except PastMaxTtlError:
            raise InvalidRequestError("past the max TTL, cannot renew") from None

    def _index(self, owner: str, lease_id: str) -> str:
        return f"{self._folder(owner)}{self._tokens.salted(lease_id)}"

    def _folder(self, owner: str) -> str:
        return f"{TOKEN_INDEX_PREFIX}{self._tokens.salted(owner)}/"

    def hold(self, lease_id: str) -> Hold:
        """The lock of one lease."""
        return self._locks.hold(f"lease {lease_id}")

    # -- the middle --------------------------------------------------------------------------

    async def renew(self, lease_id: str, increment_ns: int) -> Response:
        """Extend a secret's lease. Raises InvalidRequestError, StorageError."""
        async with self.hold(lease_id):
            owners = self._owners(await self._renewable(lease_id))
            for owner in owners:
                self._doomed.child_begins(owner)
            try:
                # Read again: an owner that has ended before it was marked has ended the lease too.
                return await self._renew(await self._renewable(lease_id), increment_ns, owners)
            finally:
                for owner in owners:
                    self._doomed.child_done(owner)

    async def _renewable(self, lease_id: str) -> LeaseEntry:
        lease = await self._book.read(lease_id)
        if lease is None:
            raise InvalidRequestError("lease not found")
        if lease.auth is not None:
            raise InvalidRequestError("tokens cannot be renewed through this endpoint")
        if expiry_ns(lease) <= self._clock.now_ns():
            raise InvalidRequestError("lease expired")
        if not secret_of(lease).renewable:
            raise InvalidRequestError("lease is not renewable")
        return lease

    async def _renew(self, lease: LeaseEntry, increment_ns: int, owners: Sequence[str]) -> Response:
        secret, lease_id, now = secret_of(lease), lease.lease_id, self._clock.now_ns()
        backend = self._backend(lease.path)
        if backend is None:
            raise EngineNotHereError("renew")
        known = SecretGrant(secret.ttl_ns, secret.max_ttl_ns, True, secret.internal_data)
        grant = await backend.renew_secret(known, increment_ns)
        granted = self._granted(
            lease.path, grant, increment_ns=increment_ns, issued_ns=lease.issue_time_ns
        )
        ttl_ns = min(granted.ttl_ns, self._left_of_batch(lease, now))
        renewed = replace(
            lease,
            secret=secret_view(
                ttl_ns, grant.max_ttl_ns, grant.internal_data, renewable=grant.renewable
            ),
            expire_time_ns=now + ttl_ns,
            last_renewal_time_ns=now,
        )
        await self._barrier.apply([self._book.put(renewed)])
        if any(owner in self._doomed for owner in owners):
            # Its end may have been written before the renewal: it is written again.
            await self._barrier.apply([self._book.put(replace(lease, expire_time_ns=now))])
            self._book.schedule(lease_id, now)
            raise InvalidRequestError("lease expired")
        self._book.schedule(lease_id, renewed.expire_time_ns)
        return Response(
            lease_id=lease_id,
            lease_seconds=ttl_ns // SECOND_NS,
            renewable=grant.renewable,
            warnings=list(granted.warnings),
        )

    def _left_of_batch(self, lease: LeaseEntry, now_ns: int) -> int:
        """How long the batch token of a lease lives on; for ever for other tokens."""
        if lease.token_type != BATCH:
            return NEVER_NS
        entry = self._tokens.batch(lease.client_token)
        ends = 0 if entry is None else entry.creation_time * SECOND_NS + entry.ttl_ns
        if ends <= now_ns:
            raise InvalidRequestError("cannot renew lease, no valid associated token")
        return ends - now_ns

    def _backend(self, path: str) -> LeasingBackend | None:
        found = self._router.find(path)
        backend = None if found is None else found[1].backend
        return backend if isinstance(backend, LeasingBackend) else None

    # -- the end -----------------------------------------------------------------------------

    async def end(self, lease_id: str, *, force: bool = False, only_due: bool = False) -> bool:
        """Have the secret taken back and remove its lease; False when there is none (left).

        ``force``: a backend that cannot, or is not here, does not count. ``only_due``: not when it
        was renewed meanwhile. Raises InvalidRequestError (an engine that does not run here), and
        whatever keeps the backend from it.
        """
        async with self.hold(lease_id):
            lease = await self._book.read(lease_id)
            if lease is None:
                self._book.forget(lease_id)
                return False
            if only_due and expiry_ns(lease) > self._clock.now_ns():
                self._book.schedule(lease_id, expiry_ns(lease))
                return False
            await self._revoke(lease, force=force)
            removal: list[Operation] = [self._book.delete(lease_id)]
            for owner in self._owners(lease):
                removal.append(Delete(self._index(owner, lease_id)))
            await self._barrier.apply(removal)
            self._book.forget(lease_id)
            return True

    async def _revoke(self, lease: LeaseEntry, *, force: bool) -> None:
        backend = self._backend(lease.path)
        if backend is None:
            if not force:
                raise EngineNotHereError("revoke")
            return
        try:
            await backend.revoke_secret(secret_of(lease).internal_data)
        except Exception as error:
            if not force:
                raise
            _log.warning(
                "lease %s is removed by force; its engine said: %s",
                lease.lease_id,
                type(error).__name__,
            )

    def _owners(self, lease: LeaseEntry) -> list[str]:
        if lease.token_type != BATCH:
            return [lease.client_token]
        entry = self._tokens.batch(lease.client_token)
        return [entry.parent] if entry is not None and entry.parent else []

    async def _take_back(self, path: str, grant: SecretGrant) -> None:
        backend = self._backend(path)
        if backend is not None:
            await backend.revoke_secret(grant.internal_data)

    async def tidy(self) -> int:
        """Remove index entries that lead to no lease; how many. Raises StorageError."""
        stale: list[Operation] = []
        for token in await self._barrier.list(TOKEN_INDEX_PREFIX):
            folder = TOKEN_INDEX_PREFIX + token
            for name in await self._barrier.list(folder) if token.endswith("/") else ():
                stored = await self._barrier.get(folder + name)
                lease_id = "" if stored is None else stored.decode("utf-8", "replace")
                if not lease_id or not await self._book.exists(lease_id):
                    stale.append(Delete(folder + name))
        if stale:
            await self._barrier.apply(stale)
        return len(stale)

    async def expire_of_token(self, owner: str) -> list[Operation]:
        """Writes that end, from now on, every secret that a token has asked for.

        They belong into one step with the token's own removal. Raises RecordError, StorageError.
        """
        if self._book.is_loaded and not self._book.secrets:
            return []
        folder, now = self._folder(owner), self._clock.now_ns()
        ends: list[Operation] = []
        for name in await self._barrier.list(folder):
            stored = await self._barrier.get(folder + name)
            lease_id = "" if stored is None else stored.decode("utf-8", "replace")
            lease = await self._book.read(lease_id) if lease_id else None
            if lease is None:
                ends.append(Delete(folder + name))
            elif lease.auth is None and expiry_ns(lease) > now:
                ends.append(self._book.put(replace(lease, expire_time_ns=now)))
                self._book.secrets.add(lease_id)
                self._book.schedule(lease_id, now)
        return ends


def _owner(token: TokenEntry) -> str:
    """The token whose end is the end of the secret; "" for a batch token without parent."""
    return token.parent if token.type == BATCH else token.id
