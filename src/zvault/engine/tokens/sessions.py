"""Tokens ready for use: who is asking, until when, with which rights.

What lives here: the look-up that every request starts with and its cache. What never does: token
entries changed, a path.
Invariants: a cached session never outlives a write to its token, its lease, a policy or its
entity; a service token without a readable lease is no token (unless it is a root token that never
expires); the look-up does not suspend when the cache answers.
Source: ``docs/api/tokens.md``.
"""

import ipaddress
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zvault.barrier.errors import UnreadableEntryError
from zvault.base.clock import Clock
from zvault.base.gotime import NEVER_NS, SECOND_NS
from zvault.engine.identity.store import IdentityStore
from zvault.engine.leases.book import LeaseBook, expiry_ns
from zvault.engine.locks import KeyLocks
from zvault.engine.policy.acl import Acl
from zvault.engine.policy.store import PolicyStore
from zvault.engine.tokens.batch import is_batch
from zvault.engine.tokens.doomed import Doomed
from zvault.engine.tokens.store import TokenStore
from zvault.records.errors import RecordError
from zvault.records.leases import LeaseEntry
from zvault.records.tokens import BATCH, TokenEntry

MAX_SESSIONS = 20_000
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NO_RIGHTS = Acl([])
"""Of a session whose rights are not computed yet."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Session:
    """One token, looked up."""

    token: TokenEntry
    lease: LeaseEntry | None
    """None for batch tokens and for root tokens that never expire."""
    expires_ns: int
    networks: tuple[Network, ...]
    acl: Acl
    policies: tuple[str, ...] = ()
    """Of the token, its entity and its groups, sorted."""
    identity_policies: tuple[str, ...] = ()
    epoch: int = -1
    """State of policies and identity that the rights were computed from."""
    entity_disabled: bool = False

    def admits(self, address: str) -> bool:
        """The token may be used from this address."""
        if not self.networks:
            return True
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped  # a listener on both families says so of IPv4 clients
        return any(parsed in network for network in self.networks)


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks of CIDR or plain address texts. Raises ValueError."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def _is_text(token: str) -> bool:
    """No half of a surrogate pair, which a hostile client can send and nothing can hash."""
    try:
        token.encode()
    except UnicodeEncodeError:
        return False
    return True


class Sessions:
    """The cache and the way past it."""

    def __init__(
        self,
        store: TokenStore,
        leases: LeaseBook,
        policies: PolicyStore,
        identity: IdentityStore,
        locks: KeyLocks,
        doomed: Doomed,
        clock: Clock,
        on_leaseless: Callable[[TokenEntry], None],
    ) -> None:
        self._store = store
        self._leases = leases
        self._policies = policies
        self._identity = identity
        self._locks = locks
        self._clock = clock
        self._on_leaseless = on_leaseless
        self._sessions: dict[str, Session] = {}
        self._keys: dict[str, set[str]] = {}
        self._doomed = doomed

    def ready(self, token: str, now_ns: int) -> Session | None:
        """The session if it is cached, living, of today's rights, and admits without a further
        question: no use to count, no address to check, no disabled entity. None says nothing."""
        session = self._sessions.get(token)
        if session is None or session.expires_ns <= now_ns or session.networks:
            return None
        if session.epoch != self._policies.epoch or session.entity_disabled:
            return None
        if session.acl.until_ns <= now_ns:
            return None
        return None if session.token.num_uses else session

    async def find(self, token: str, now_ns: int) -> Session | None:
        """The session of what a client sent; None for anything that is no valid token.

        Raises RecordError, UnreadableEntryError, StorageError.
        """
        session = self._sessions.get(token)
        if session is None:
            session = await self._load(token, now_ns)
            if session is None:
                return None
        if session.expires_ns <= now_ns:
            self.drop(session.token.id)
            return None
        if session.epoch != self._policies.epoch or session.acl.until_ns <= now_ns:
            await self._refresh(session)
        return session

    async def _load(self, token: str, now_ns: int) -> Session | None:
        if is_batch(token):
            return await self._load_batch(token)
        inner = self._store.inner_id(token)
        if inner is None or not _is_text(inner):
            return None
        async with self._locks.hold(inner):
            session = await self.read(inner)
            if session is None or inner in self._doomed:
                return None
            if session.token.num_uses == 0:
                self._remember(token, session)
        return session

    async def read(self, inner: str, *, used_up: bool = False) -> Session | None:
        """A session straight from storage, rights not computed.

        ``used_up``: also of a token whose last use has begun. Raises as ``find``.
        """
        entry = await self._store.read(inner)
        if entry is None or inner in self._doomed or (entry.num_uses < 0 and not used_up):
            return None
        lease: LeaseEntry | None = None
        expires = NEVER_NS
        if not (entry.is_root and entry.ttl_ns == 0):
            lease = await self._lease_of(entry)
            if lease is None:
                return None
            expires = expiry_ns(lease)
        return self._session(entry, lease, expires)

    async def is_alive(self, inner: str) -> bool:
        """The token exists and is not being revoked. Raises as ``find``."""
        if inner in self._doomed:
            return False
        return inner in self._keys or await self._store.get(inner) is not None

    async def _lease_of(self, entry: TokenEntry) -> LeaseEntry | None:
        lease_id = self._leases.id_of_token(entry.path, entry.id)
        try:
            lease = await self._leases.read(lease_id)
        except (RecordError, UnreadableEntryError) as error:
            self._leases.unreadable[lease_id] = error.message
            _log.error("a token is refused because its lease %s: %s", lease_id, error.message)
            return None
        if lease is None:
            self._on_leaseless(entry)
        return lease

    async def _load_batch(self, token: str) -> Session | None:
        entry = self._store.batch(token)
        if entry is None:
            return None
        if entry.parent:
            async with self._locks.hold(entry.parent):
                parent = await self.read(entry.parent)
                if parent is None:
                    return None
                session = self._batch_session(entry)
                # Time ends the parent before anybody cleans up; a renewal of it drops this session.
                session.expires_ns = min(session.expires_ns, parent.expires_ns)
                self._remember(token, session)
                self._keys.setdefault(entry.parent, set()).add(token)
                return session
        session = self._batch_session(entry)
        self._remember(token, session)
        return session

    def _batch_session(self, entry: TokenEntry) -> Session:
        return self._session(entry, None, entry.creation_time * SECOND_NS + entry.ttl_ns)

    def _session(self, entry: TokenEntry, lease: LeaseEntry | None, expires: int) -> Session:
        networks = parse_networks(entry.bound_cidrs)
        return Session(entry, lease, expires, networks, _NO_RIGHTS)

    async def _refresh(self, session: Session) -> None:
        """Compute the rights anew from policies and identity as they are now."""
        while True:
            epoch = self._policies.epoch
            entry = session.token
            who = self._identity.view_of(entry.entity_id) if entry.entity_id else None
            gained = () if who is None or entry.no_identity_policies else who.policies
            names = tuple(sorted({*entry.policies, *gained}))
            acl = (
                PolicyStore.root_acl()
                if entry.is_root
                else await self._policies.acl(names, None if who is None else who.template)
            )
            if epoch != self._policies.epoch:
                continue
            session.acl = acl
            session.policies = names
            session.identity_policies = gained
            session.entity_disabled = bool(entry.entity_id) and (who is None or who.disabled)
            session.epoch = epoch
            return

    async def rights(self, session: Session) -> Session:
        """The session with its rights computed (one that ``read`` has made)."""
        await self._refresh(session)
        return session

    def _remember(self, token: str, session: Session) -> None:
        if len(self._sessions) >= MAX_SESSIONS:
            oldest = next(iter(self._sessions))
            self.drop(self._sessions[oldest].token.id)
        self._sessions[token] = session
        self._keys.setdefault(session.token.id, set()).add(token)

    def drop(self, inner: str) -> None:
        """Forget everything known about a token (and batch tokens it has made)."""
        for token in self._keys.pop(inner, ()):
            session = self._sessions.pop(token, None)
            if session is None:
                continue
            if session.token.id != inner:
                self._keys.pop(session.token.id, None)
            elif session.token.type == BATCH and session.token.parent in self._keys:
                self._keys[session.token.parent].discard(token)

    def __len__(self) -> int:
        return len(self._sessions)
