"""The engine: sealed, or one unsealed store.

What lives here: init, unseal share by share, seal, status, and the door for requests. What never
does: HTTP, what a request means (``pipeline.py``), what unsealed consists of (``unsealed.py``).
Invariants: keys exist only inside the ``Unsealed`` object; sealing waits for the requests that have
begun; a store that is marked as being migrated is neither initialised nor unsealed.
"""

import asyncio
import gc
import logging
import os
from collections.abc import Callable

from zvault.barrier.errors import (
    AlreadyInitializedError,
    NotInitializedError,
    SealConfigError,
    TooFewSharesError,
    WrongUnsealKeyError,
)
from zvault.barrier.rekey import settle
from zvault.barrier.seal import SealConfig
from zvault.barrier.unseal import (
    combine_shares,
    initialize_store,
    is_initialized,
    read_seal_config,
    unseal_with_key,
)
from zvault.base.clock import Clock, SystemClock
from zvault.base.errors import PreconditionError, ZvaultError
from zvault.base.gotime import SECOND_NS
from zvault.base.ids import new_uuid
from zvault.base.secret import Secret
from zvault.crypto.errors import ShareError
from zvault.engine.api import Operation, Request, Response
from zvault.engine.cors import Cors
from zvault.engine.errors import EngineSealedError, InternalEngineError, InvalidRequestError
from zvault.engine.initialize import initial_entries
from zvault.engine.seal.quorum import WRONG_KEY
from zvault.engine.seal.shares import ShareCollection, share_problem
from zvault.engine.settings import CoreSettings
from zvault.engine.status import HealthStatus, InitOutcome, SealStatus
from zvault.engine.telemetry.counters import set_mount_gauges, set_process_gauges
from zvault.engine.telemetry.instruments import set_runtime_gauges
from zvault.engine.telemetry.metrics import Metrics
from zvault.engine.telemetry.timed_storage import TimedStorage
from zvault.engine.unsealed import Unsealed, open_unsealed
from zvault.records.mounts import AUTH, MOUNTS
from zvault.storage.api import Storage
from zvault.storage.keys import MIGRATION_KEY

SEAL_PATH = "sys/seal"

_log = logging.getLogger(__name__)


class StoreIsMigratingError(PreconditionError):
    """The store carries the mark of a migration: another place is, or will be, the true one."""

    code = "store-is-migrating"


class Core:
    """One server's engine over one storage."""

    def __init__(
        self,
        storage: Storage,
        settings: CoreSettings,
        *,
        clock: Clock | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.storage = storage
        self.settings = settings
        self._clock = clock or SystemClock()
        self._random_bytes = random_bytes
        self.metrics = Metrics(self._clock)
        self._shares = ShareCollection()
        self._lock = asyncio.Lock()
        self._unsealed: Unsealed | None = None
        self._config: SealConfig | None = None

    @property
    def unsealed(self) -> Unsealed | None:
        """The running store, None while sealed."""
        return self._unsealed

    @property
    def cors(self) -> Cors | None:
        """Which pages of other origins are let in; None while sealed."""
        return None if self._unsealed is None else self._unsealed.cors

    async def start(self) -> None:
        """Look at the store before serving. Raises StoreIsMigratingError, StorageError."""
        await self._refuse_migration()
        await self._settle_rekey()
        self.metrics.on_scrape(self._gauges)

    async def _refuse_migration(self) -> None:
        if await self.storage.get(MIGRATION_KEY) is not None:
            raise StoreIsMigratingError(
                f"{self.storage.url} carries the mark of a migration ({MIGRATION_KEY})",
                hint="finish or undo the migration with `zvault resume` or `zvault rollback`",
            )

    async def _settle_rekey(self) -> None:
        if await settle(self.storage):
            _log.warning("a rekey did not end: it was put back, the shares from before it count")

    async def _seal_config(self) -> SealConfig | None:
        """The seal configuration; None while there is no initialised store."""
        if self._unsealed is not None:
            return self._unsealed.rekey.config
        if self._config is None:
            try:
                config = await read_seal_config(self.storage)
            except NotInitializedError:
                return None
            if await is_initialized(self.storage):
                self._config = config
        return self._config

    async def initialize(self, shares: int, threshold: int) -> InitOutcome:
        """Make a store; it is sealed afterwards. Raises InvalidRequestError, StorageError."""
        problem = share_problem(shares, threshold)
        if problem:
            raise InvalidRequestError(f"invalid seal configuration: {problem}")
        async with self._lock:
            await self._refuse_migration()
            settings = self.settings
            entries, token = initial_entries(
                settings.family, settings.cluster_name, self._clock.now_ns(), self._random_bytes
            )
            try:
                made = await initialize_store(
                    self.storage,
                    shares,
                    threshold,
                    family=settings.family,
                    random_bytes=self._random_bytes,
                    clock=self._clock,
                    entries=entries,
                )
            except AlreadyInitializedError:
                raise InvalidRequestError("Vault is already initialized") from None
            except SealConfigError as error:
                raise InvalidRequestError(f"invalid seal configuration: {error.message}") from None
            return InitOutcome(made.shares, token)

    async def submit_share(self, share: bytes) -> SealStatus:
        """Take one unseal share; unsealed on return when it was the last one needed.

        Raises InvalidRequestError (bad share, wrong shares), StoreIsMigratingError,
        PostUnsealError, InternalEngineError.
        """
        async with self._lock:
            if self._unsealed is None:
                config = await self._seal_config()
                if config is None:
                    raise InvalidRequestError("Vault is not initialized")
                nonce = new_uuid(self._random_bytes)
                collected = self._shares.add(share, config.secret_threshold, nonce)
                if collected is not None:
                    await self._unseal(collected, config)
        return await self.seal_status()

    async def _unseal(self, collected: list[Secret], config: SealConfig) -> None:
        started = self._clock.monotonic()
        await self._refuse_migration()
        await self._settle_rekey()
        try:
            key = combine_shares(collected, config)
            timed = TimedStorage(self.storage, self._clock, self.metrics)
            barrier = await unseal_with_key(
                timed, key, clock=self._clock, random_bytes=self._random_bytes
            )
        except (ShareError, TooFewSharesError) as error:
            raise InvalidRequestError(f"failed to compute combined key: {error.message}") from None
        except WrongUnsealKeyError:
            raise InvalidRequestError(f"unable to retrieve stored keys: {WRONG_KEY}") from None
        except ZvaultError as error:
            raise InternalEngineError(f"unseal failed: {error.message}") from error
        opened = self._clock.monotonic()
        self._unsealed = await open_unsealed(
            barrier,
            self.settings,
            config,
            clock=self._clock,
            random_bytes=self._random_bytes,
            metrics=self.metrics,
        )
        ended = self._clock.monotonic()
        self.metrics.observe(("core", "post_unseal"), (ended - opened) * 1e3)
        self.metrics.observe(("core", "unseal"), (ended - started) * 1e3)

    async def reset_unseal(self) -> SealStatus:
        """Forget the shares given so far. Raises InvalidRequestError when unsealed."""
        async with self._lock:
            if self._unsealed is not None:
                raise InvalidRequestError("vault is unsealed")
            self._shares.reset()
        return await self.seal_status()

    async def seal_status(self) -> SealStatus:
        """State of the seal, for anybody. Raises StorageError, SealConfigError."""
        config = await self._seal_config()
        unsealed = self._unsealed
        return SealStatus(
            initialized=config is not None,
            sealed=unsealed is None,
            threshold=0 if config is None else config.secret_threshold,
            shares=0 if config is None else config.secret_shares,
            progress=self._shares.progress,
            nonce=self._shares.nonce,
            version=self.settings.version,
            storage_type=self.settings.storage_type,
            build_date=self.settings.build_date,
            cluster_name="" if unsealed is None else unsealed.cluster.name,
            cluster_id="" if unsealed is None else unsealed.cluster.id,
        )

    async def health(self) -> HealthStatus:
        """State of the server, for anybody. Raises StorageError, SealConfigError."""
        status = await self.seal_status()
        return HealthStatus(
            initialized=status.initialized,
            sealed=status.sealed,
            version=status.version,
            server_time_seconds=self._clock.now_ns() // SECOND_NS,
            cluster_name=status.cluster_name,
            cluster_id=status.cluster_id,
        )

    async def handle(self, request: Request) -> Response | None:
        """Serve one request; None means "nothing" (204 or 404).

        A granted ``sys/seal`` has sealed when this returns. Raises EngineError.
        """
        unsealed = self._unsealed
        if unsealed is None:
            if request.path == SEAL_PATH and request.operation is Operation.UPDATE:
                return None
            raise EngineSealedError("Vault is sealed")
        unsealed.inside += 1
        try:
            if unsealed.quotas.any:
                await unsealed.admit(request)
            response = await unsealed.pipeline.handle(request)
        finally:
            unsealed.leave()
        if request.path == SEAL_PATH:
            await self.seal()
        return response

    async def tick(self) -> int:
        """End the leases that are due now; a background task calls this every second."""
        return 0 if self._unsealed is None else await self._unsealed.expiration.tick()

    async def seal(self) -> None:
        """Let nobody in, wait for the requests that have begun, forget the keys."""
        async with self._lock:
            unsealed, self._unsealed = self._unsealed, None
            self._config = None  # a rekey may have changed it
            self._shares.reset()
            if unsealed is not None:
                started = self._clock.monotonic()
                await unsealed.close()
                unsealed = None
                await asyncio.sleep(0)  # its cancelled tasks let go of it
                gc.collect()  # it is full of cycles: keys and caches go now, not at some time
                taken = (self._clock.monotonic() - started) * 1e3
                for name in ("pre_seal", "seal_internal", "seal"):
                    self.metrics.observe(("core", name), taken)

    async def shutdown(self) -> None:
        """Seal and let go of the storage."""
        await self.seal()
        await self.storage.close()

    def reload_audit(self) -> None:
        """Open the audit files anew (SIGHUP); what fails is logged and keeps its old file."""
        if self._unsealed is not None:
            for error in self._unsealed.audit.reopen():
                _log.error("%s", error.message)

    def _gauges(self) -> None:
        unsealed, metrics = self._unsealed, self.metrics
        set_process_gauges(metrics)
        set_runtime_gauges(metrics)
        for name in ("unsealed", "active"):
            # From before the cluster had a name; left alone it would say "sealed" for ever.
            metrics.drop_gauge(("core", name), {"cluster": ""})
            metrics.gauge(("core", name), int(unsealed is not None), metrics.cluster_label())
        if unsealed is not None:
            in_flight = ("core", "in_flight_requests")
            metrics.gauge(in_flight, unsealed.inside, metrics.cluster_label())
            mounts = unsealed.mounts
            unsealed.set_gauges()
            set_mount_gauges(metrics, (*mounts.entries(MOUNTS), *mounts.entries(AUTH)))
