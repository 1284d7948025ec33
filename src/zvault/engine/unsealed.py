"""An unsealed store: everything that needs the barrier.

What lives here: the parts of a running engine put together in the order in which each needs the
one before, and their end. Exists only between unseal and seal; there is no flag. What never does:
the barrier opened (``core.py``), a request's way (``pipeline.py``).
Invariant: a step that fails takes down what was started before it and is named.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from zvault.barrier.barrier import Barrier
from zvault.barrier.seal import SealConfig
from zvault.barrier.view import View
from zvault.base.clock import Clock
from zvault.base.errors import ZvaultError
from zvault.base.ids import RandomBytes, new_uuid
from zvault.engine.api import Auth, Backend, MountContext, Request
from zvault.engine.audit.auth_view import REFUSED
from zvault.engine.audit.broker import AuditBroker
from zvault.engine.audit.devices import AuditDevices
from zvault.engine.backends import registry
from zvault.engine.backends.cubbyhole import Cubbyhole
from zvault.engine.backends.identity.backend import IdentityBackend
from zvault.engine.backends.system.backend import SystemBackend
from zvault.engine.backends.token.backend import TokenBackend
from zvault.engine.cors import Cors
from zvault.engine.errors import InternalEngineError
from zvault.engine.housekeeping import Housekeeping
from zvault.engine.identity.login import LoginService
from zvault.engine.identity.store import IdentityStore
from zvault.engine.initialize import CLUSTER_KEY, cluster_info
from zvault.engine.leases.book import LeaseBook
from zvault.engine.leases.expiration import Expiration
from zvault.engine.leases.secret_leases import SecretLeases
from zvault.engine.locks import KeyLocks
from zvault.engine.mounts.mounted import Mounted, prefix_of
from zvault.engine.mounts.plugins import builtin_version
from zvault.engine.mounts.service import Maker, MountService
from zvault.engine.pipeline import Pipeline
from zvault.engine.policy.store import PolicyStore
from zvault.engine.quotas import Quotas, RateLimitedError
from zvault.engine.seal.rekey import Rekey
from zvault.engine.seal.root_generation import RootGeneration
from zvault.engine.services import Services
from zvault.engine.settings import CoreSettings
from zvault.engine.telemetry.counters import token_issued
from zvault.engine.telemetry.instruments import EncryptionCount, instrument, set_store_gauges
from zvault.engine.telemetry.metrics import Metrics
from zvault.engine.tokens.doomed import Doomed
from zvault.engine.tokens.revocation import TokenRevocation
from zvault.engine.tokens.service import TokenService
from zvault.engine.tokens.sessions import Sessions
from zvault.engine.tokens.store import TokenStore, load_salt
from zvault.engine.tokens.wrapping import Wrapping
from zvault.engine.versions import load_versions
from zvault.records import gojson
from zvault.records.mounts import AUTH, MOUNTS, MountEntry
from zvault.records.policies import PREFIX as POLICY_PREFIX
from zvault.records.quotas import PREFIX as QUOTA_PREFIX
from zvault.records.ssc import HEADER_KEY_PATH
from zvault.records.tokens import TokenEntry
from zvault.storage.api import Put

_log = logging.getLogger(__name__)


class PostUnsealError(InternalEngineError):
    """The keys opened the store, a later step failed, and the store is sealed again."""

    code = "post-unseal"

    def __init__(self, step: str, cause: str) -> None:
        super().__init__(f"unseal failed at {step}, the store is sealed again: {cause}")
        self.step = step


@dataclass(frozen=True, slots=True)
class Cluster:
    """Who this store says it is."""

    name: str
    id: str


class Unsealed:
    """Made by ``open_unsealed``."""

    def __init__(
        self,
        barrier: Barrier,
        settings: CoreSettings,
        config: SealConfig,
        *,
        clock: Clock,
        random_bytes: RandomBytes,
        metrics: Metrics,
    ) -> None:
        self.barrier = barrier
        self.settings = settings
        self.clock = clock
        self.random_bytes = random_bytes
        self.metrics = metrics
        self.cluster = Cluster("", "")
        self.inside = 0
        self._left: asyncio.Event | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._loading: asyncio.Task[None] | None = None
        self.locks = KeyLocks()
        self.cors = Cors(barrier)
        self.rekey = Rekey(barrier, config, random_bytes)
        self.audit = AuditBroker(clock, metrics, self._audit_failed)
        self.policies = PolicyStore(View(barrier, POLICY_PREFIX), barrier.family, clock)
        self.mounts = MountService(
            barrier, settings, clock=clock, random_bytes=random_bytes, maker=self._maker
        )

    async def start(self) -> None:
        """Bring everything up. Raises PostUnsealError, and has then closed everything again."""
        steps = (
            ("cluster information", self._load_cluster),
            ("the mount tables", self.mounts.load),
            ("the policies", self.policies.start),
            ("the identity store", self._load_identity),
            ("the token store", self._load_tokens),
            ("the audit devices", self._load_audit),
            ("the settings of the server", self._load_settings),
            ("the mounts", self.mounts.start_all),
        )
        for name, act in steps:
            try:
                await act()
            except BaseException as error:
                await self.close()
                if isinstance(error, ZvaultError):
                    raise PostUnsealError(name, error.message) from error
                raise
        self.mounts.before_unmount = self._before_unmount
        self.mounts.before_move = self._before_move
        instrument(self, self.metrics)
        self._encryptions = EncryptionCount(self.metrics, self._key_status)
        self._housekeeping = Housekeeping(self.barrier, self.leases, self.expiration, self.clock)
        self._loading = asyncio.create_task(self._housekeeping.load_leases())
        self._tasks = [self._loading, asyncio.create_task(self._housekeeping.run())]

    async def _load_cluster(self) -> None:
        content = await self.barrier.get(CLUSTER_KEY)
        if content is None:
            put = cluster_info(self.settings.cluster_name, self.random_bytes)
            await self.barrier.apply([put])
            content = put.value
        body = gojson.loads_object(content)
        self.cluster = Cluster(str(body.get("name", "")), str(body.get("id", "")))
        self.metrics.cluster = self.cluster.name

    async def _load_identity(self) -> None:
        entry = next(e for e in self.mounts.entries(MOUNTS) if e.type == "identity")
        self.identity = IdentityStore(
            View(self.barrier, entry.view_prefix),
            clock=self.clock,
            random_bytes=self.random_bytes,
            on_change=self.policies.forget_identities,
        )
        await self.identity.load()

    async def _load_tokens(self) -> None:
        salted = await load_salt(self.barrier, self.random_bytes)
        self.leases = LeaseBook(self.barrier, salted)
        doomed = Doomed()
        store = TokenStore(
            self.barrier,
            salted=salted,
            header_key=await self._header_key(),
            cubbyhole_uuid=self.mounts.cubbyhole_uuid(),
            leases=self.leases,
            random_bytes=self.random_bytes,
        )
        self.sessions = Sessions(
            store,
            self.leases,
            self.policies,
            self.identity,
            self.locks,
            doomed,
            self.clock,
            self._leaseless,
        )
        self.tokens = TokenService(
            self.barrier,
            store,
            self.sessions,
            self.leases,
            self.locks,
            doomed,
            self.clock,
            limits=self._limits,
            renew_hook=self._renew,
            on_issued=partial(token_issued, self.metrics),
        )
        self.root_generation = RootGeneration(
            self.barrier, self.rekey, self.tokens, self.clock, self.random_bytes
        )
        self._load_endings(store, doomed)
        self.wrapping = Wrapping(
            self.tokens, self.sessions, self.revocation, self._drawers(), self.clock
        )
        logins = LoginService(self.mounts, self.identity, self.tokens, self.clock)
        self.pipeline = Pipeline(
            self.mounts.router,
            self.sessions,
            self.tokens,
            self.revocation,
            logins,
            self.secrets,
            self.wrapping,
            self.audit,
            self.metrics,
            self.clock,
        )

    def _load_endings(self, store: TokenStore, doomed: Doomed) -> None:
        """How leases end, those of secrets and those of tokens."""
        self.secrets = SecretLeases(
            self.barrier,
            self.leases,
            store,
            self.mounts.router,
            self.locks,
            doomed,
            self.clock,
            limits=self._limits,
            random_bytes=self.random_bytes,
        )
        self.revocation = TokenRevocation(
            self.barrier,
            store,
            self.sessions,
            self.leases,
            self.locks,
            doomed,
            self.clock,
            sweep_cubbyhole=self._sweep_cubbyhole,
            end_secrets=self.secrets.expire_of_token,
        )
        self.expiration = Expiration(
            self.barrier, self.leases, self.revocation, self.secrets, self.clock, self.metrics
        )

    def _drawers(self) -> View:
        """All cubbyholes."""
        entry = next(e for e in self.mounts.entries(MOUNTS) if e.type == "cubbyhole")
        return View(self.barrier, entry.view_prefix)

    async def _header_key(self) -> bytes:
        key = await self.barrier.get(HEADER_KEY_PATH)
        if key is None:
            key = new_uuid(self.random_bytes).encode()
            await self.barrier.apply([Put(HEADER_KEY_PATH, key)])
        return key

    async def _load_audit(self) -> None:
        self.audit_devices = AuditDevices(
            self.barrier,
            self.audit,
            clock=self.clock,
            random_bytes=self.random_bytes,
            builtin_version=builtin_version(self.settings.version, self.barrier.family),
            declared=self.settings.audit,
        )
        for error in await self.audit_devices.start():
            _log.error("%s", error.message)

    async def _load_settings(self) -> None:
        """Rate limits, what browsers may do, which versions were here."""
        self.versions = await load_versions(
            self.barrier, self.settings.version, self.clock.now_ns()
        )
        await self.cors.load()
        self.quotas = Quotas(
            View(self.barrier, QUOTA_PREFIX),
            self.clock,
            self.metrics,
            mount_of=self.mounts.prefix_for,
            role_of=self.mounts.role_of_login,
        )
        await self.quotas.load()

    def _maker(self, entry: MountEntry) -> Maker:
        """Backends that need more than a view are made here, all others by the registry."""
        special: dict[str, Callable[[Services, View], Backend]] = {
            "system": SystemBackend,
            "token": TokenBackend,
            "identity": IdentityBackend,
        }
        make = special.get(entry.type)
        if make is None:
            return registry.maker_for(entry)

        def made(context: MountContext) -> Backend:
            return make(self._services(), context.view)

        return made

    def _services(self) -> Services:
        return Services(
            mounts=self.mounts,
            policies=self.policies,
            identity=self.identity,
            tokens=self.tokens,
            revocation=self.revocation,
            sessions=self.sessions,
            leases=self.leases,
            expiration=self.expiration,
            secrets=self.secrets,
            wrapping=self.wrapping,
            audit=self.audit_devices,
            quotas=self.quotas,
            cors=self.cors,
            versions=self.versions,
            raw=self.barrier,
            metrics=self.metrics,
            settings=self.settings,
            clock=self.clock,
            random_bytes=self.random_bytes,
            family=self.barrier.family,
            key_status=self._key_status,
            rotate=self.barrier.rotate,
            rotation=lambda: self.barrier.keyring.rotation,
            configure_rotation=self.barrier.configure_rotation,
            rekey=self.rekey,
            root_generation=self.root_generation,
        )

    def _key_status(self) -> tuple[int, int, int]:
        """Term, install time, encryptions of the active key."""
        active = self.barrier.keyring.active
        count = active.encryptions + self.barrier.unpersisted_encryptions
        return active.term, active.install_time_ns, count

    def _limits(self, path: str) -> tuple[int, int]:
        found = self.mounts.router.find(path)
        prefix = "" if found is None else found[0]
        return self.mounts.default_ttl_ns(prefix), self.mounts.max_ttl_ns(prefix)

    async def _renew(self, path: str, auth: Auth) -> Auth:
        found = self.mounts.router.find(path)
        if found is None:
            raise InternalEngineError("1 error occurred:\n\t* the token's auth mount is gone\n\n")
        return await found[1].backend.renew(auth)

    async def _sweep_cubbyhole(self, cubbyhole_id: str) -> None:
        for _, mounted in self.mounts.router.items():
            if isinstance(mounted.backend, Cubbyhole):
                await mounted.backend.revoke(cubbyhole_id)

    async def _before_move(self, mounted: Mounted) -> None:
        """Leases and tokens bear the old path, which will mean nothing: they end, as in Vault."""
        await self.expiration.revoke_prefix(prefix_of(mounted.entry))

    async def _before_unmount(self, mounted: Mounted) -> None:
        """Tokens that an auth mount has issued go with it; so do its aliases."""
        await self._before_move(mounted)
        if mounted.entry.table == AUTH:
            await self.identity.forget_mount(mounted.entry.accessor)

    def _leaseless(self, entry: TokenEntry) -> None:
        """A token without a lease is dead; take it away when the request is through."""
        _log.warning("a token made at %s has no lease and is removed", entry.path)
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.get_running_loop().create_task(self._remove(entry.id)))

    async def _remove(self, inner: str) -> None:
        try:
            await self.revocation.revoke_tree(inner)
        except ZvaultError as error:
            _log.error("a token without lease could not be removed: %s", error.message)

    def _audit_failed(self, path: str, error: Exception) -> None:
        _log.error("audit device %s: %s", path, error)

    async def settled(self) -> None:
        """Wait until the leases are loaded (tests, and operators that want a quiet server)."""
        if self._loading is not None:
            await asyncio.shield(self._loading)

    async def look_after_key(self) -> None:
        """Write down how often the data key was used; add a new one when it is due."""
        await self._housekeeping.look_after_key()

    async def admit(self, request: Request) -> None:
        """Count a request against the rate limits. Raises RateLimitedError, AuditFailedError."""
        try:
            await self.quotas.admit(request)
        except RateLimitedError as error:
            if self.quotas.config.audit_refusals:
                self.audit.log_request(request, REFUSED, error.message)
            raise

    def set_gauges(self) -> None:
        """What this store is now, for who looks at the metrics."""
        self._encryptions.update()
        lockouts = self.mounts.lockouts.values()
        set_store_gauges(self.metrics, len(self.identity.entities), lockouts)

    def leave(self) -> None:
        """One request is done."""
        self.inside -= 1
        if not self.inside and self._left is not None:
            self._left.set()

    async def close(self) -> None:
        """Wait for the last request, stop everything. Never raises what a part raises."""
        if self.inside:
            self._left = asyncio.Event()
            await self._left.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self.mounts.stop_all()
        try:
            await self.barrier.persist_encryption_count()
        except Exception as error:
            _log.error("the count of encryptions could not be written: %s", type(error).__name__)
        if hasattr(self, "audit_devices"):
            await self.audit_devices.stop()


async def open_unsealed(
    barrier: Barrier,
    settings: CoreSettings,
    config: SealConfig,
    *,
    clock: Clock,
    random_bytes: RandomBytes,
    metrics: Metrics,
) -> Unsealed:
    """The running store. Raises PostUnsealError."""
    unsealed = Unsealed(
        barrier, settings, config, clock=clock, random_bytes=random_bytes, metrics=metrics
    )
    await unsealed.start()
    return unsealed
