"""Go through a whole store: open every entry, decode what is known, check what belongs together.

What lives here: the loop, and what to make of an entry that does not open. What never does: a
write. Memory: some 100 bytes for each version, token and secret id, never the values.
Invariant: every listed key ends up counted as opened, plaintext, unopened or vanished.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from zvault.barrier.barrier import Barrier
from zvault.barrier.errors import UnreadableEntryError, UnsupportedSealError
from zvault.barrier.paths import KEYRING, PLAINTEXT_KEYS
from zvault.barrier.unseal import open_keyring
from zvault.base.clock import Clock, SystemClock
from zvault.offline.errors import ENTRY_ERRORS
from zvault.offline.examine import Examination, reason_of
from zvault.offline.ledger_approle import AppRoleLedger
from zvault.offline.ledger_kv2 import Kv2Ledger
from zvault.offline.ledger_tokens import TokenLedger
from zvault.offline.open import KeySource, OfflineStore, open_offline
from zvault.offline.report import Finding, Named, Unopened, VerifyReport
from zvault.records import approle, kv2, tokens
from zvault.records.errors import RecordError
from zvault.records.keysutil import decode_path_policy
from zvault.records.kv2_paths import PathCodec
from zvault.storage.api import Storage
from zvault.storage.errors import CorruptEntryError
from zvault.storage.keys import MIGRATION_KEY, is_leftover_name, is_skipped_by_copy
from zvault.storage.walk import walk
from zvault.storage.window import ordered_map

DEFAULT_PARALLEL = 32
_PROGRESS_EVERY = 500
_LEFTOVER = "leftover of a killed server: no entry, and some servers do not start over it"
_NAMESPACES = "namespaces/"
_OWN_SEAL = "a namespace with a seal of its own is not opened by this version"


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """How far a verification is."""

    entries: int
    seconds: float


OnProgress = Callable[[VerifyProgress], None]


async def verify_store(
    storage: Storage,
    key_source: KeySource,
    on_progress: OnProgress | None = None,
    *,
    parallel: int = DEFAULT_PARALLEL,
    clock: Clock | None = None,
) -> VerifyReport:
    """Open and check everything. Raises as ``open_offline``; what does not open is reported.

    Keys that are listed and gone when read mean that a server is writing: no error, but counted.
    """
    clock = clock or SystemClock()
    start = clock.monotonic()
    store = await open_offline(storage, key_source, clock=clock)
    run = _Run(store, await _begin(store, clock.now_ns()), clock)
    async with contextlib.aclosing(ordered_map(walk(storage), run.read, parallel)) as results:
        async for key, value in results:
            await run.take(key, value)
            if on_progress is not None and run.entries % _PROGRESS_EVERY == 0:
                on_progress(VerifyProgress(run.entries, clock.monotonic() - start))
    await run.conclude()
    if on_progress is not None:
        on_progress(VerifyProgress(run.entries, clock.monotonic() - start))
    return run.report(clock.monotonic() - start)


class _Run:
    """One pass over the keys."""

    def __init__(self, store: OfflineStore, examination: "_Begun", clock: Clock) -> None:
        self._store = store
        self._barrier = store.barrier
        self._examination = examination.examination
        self._kv2_ledgers = examination.kv2_ledgers
        self._clock = clock
        self._unopened = Named()
        self._findings = Named()
        self._losses = 0
        self._absent: list[str] = []
        self._vanished = 0
        self.entries = 0

    async def read(self, key: str) -> tuple[str, bytes | CorruptEntryError | None]:
        """The value; an error about this one entry is a result, others end the run."""
        try:
            return key, await self._store.storage.get(key)
        except CorruptEntryError as error:
            return key, error

    async def take(self, key: str, value: bytes | CorruptEntryError | None) -> None:
        """Judge one entry."""
        if value is None:
            self._absent.append(key)
            return
        self.entries += 1
        if isinstance(value, CorruptEntryError):
            self._refuse(key, value.cause)
        elif key in PLAINTEXT_KEYS or is_skipped_by_copy(key):
            self._take_plaintext(key)
        elif key != KEYRING:
            await self._open(key, value)

    def _refuse(self, key: str, reason: str) -> None:
        if is_leftover_name(key):
            reason = f"{reason} ({_LEFTOVER})"
        elif key.startswith(_NAMESPACES):
            reason = f"{reason} ({_OWN_SEAL})"
        self._unopened.add(Unopened(key, reason))

    def _take_plaintext(self, key: str) -> None:
        counts = self._examination.counts
        counts.plaintext += 1
        counts.skipped += is_skipped_by_copy(key)
        if key == MIGRATION_KEY:
            self._find(Finding(key, "a migration is marked: no server starts on this store", False))

    async def _open(self, key: str, record: bytes) -> None:
        try:
            plaintext = await self._decrypt(key, record)
            self._examination.examine(key, plaintext)
        except UnreadableEntryError as error:
            self._refuse(key, error.reason)
        except (RecordError, UnsupportedSealError) as error:
            self._refuse(key, reason_of(error))

    async def _decrypt(self, key: str, record: bytes) -> bytes:
        try:
            return self._barrier.decrypt(key, record)
        except UnreadableEntryError as error:
            if "no decryption key" not in error.reason or not await self._reload_keyring():
                raise
            return self._barrier.decrypt(key, record)

    async def _reload_keyring(self) -> bool:
        """A live server may have rotated since the start; True when there are new terms."""
        old = self._barrier.keyring
        with contextlib.suppress(UnreadableEntryError):
            new = await open_keyring(self._store.storage, old.root_key, is_root_key_proven=True)
            if new.active.term > old.active.term:
                self._barrier = Barrier(
                    self._store.storage, new, self._store.family, clock=self._clock
                )
                return True
        return False

    def _find(self, finding: Finding) -> None:
        self._findings.add(finding)
        self._losses += finding.is_loss

    async def conclude(self) -> None:
        """What only shows at the end."""
        await self._judge_absent()
        for finding in self._store.mounts.losses():
            self._find(finding)
        for finding in self._examination.findings():
            self._find(finding)
        for ledger in self._kv2_ledgers:
            async for finding in ledger.losses(self._barrier):
                self._find(finding)

    async def _judge_absent(self) -> None:
        """What was listed and had no value: gone meanwhile, or a name without an entry."""
        folders: dict[str, list[str]] = {}
        for key in self._absent:
            folder, slash, name = key.rpartition("/")
            folders.setdefault(folder + slash, []).append(name)
        for folder, names in folders.items():
            listed = set(await self._store.storage.list(folder))
            for name in names:
                if name in listed:
                    self.entries += 1
                    self._refuse(folder + name, "listed, but the file is empty or no entry")
                else:
                    self._vanished += 1

    def report(self, seconds: float) -> VerifyReport:
        return VerifyReport(
            store=self._store.storage.url,
            family=self._store.family,
            shares=self._store.seal_config.secret_shares,
            threshold=self._store.seal_config.secret_threshold,
            terms=tuple(key.term for key in self._barrier.keyring.keys),
            entries=self.entries,
            counts=self._examination.counts,
            unopened=tuple(self._unopened.items),
            unopened_count=self._unopened.total,
            findings=tuple(self._findings.items),
            findings_count=self._findings.total,
            losses=self._losses,
            vanished=self._vanished,
            seconds=seconds,
        )


@dataclass(frozen=True, slots=True)
class _Begun:
    examination: Examination
    kv2_ledgers: list[Kv2Ledger]


async def _begin(store: OfflineStore, now_ns: int) -> _Begun:
    """Fetch the salts and name policies that references need."""
    barrier, mounts = store.barrier, store.mounts
    entities: set[str] = set()
    kv2_ledgers: dict[str, Kv2Ledger] = {}
    for entry in mounts.engines:
        if entry.kv_version == 2 and entry.backend_aware_uuid:
            prefix = f"{entry.view_prefix}{entry.backend_aware_uuid}/"
            kv2_ledgers[prefix] = Kv2Ledger(
                prefix,
                entry.path,
                await _salt(barrier, prefix + kv2.SALT_KEY),
                await path_codec(barrier, prefix),
            )
    approle_ledgers = {
        entry.view_prefix: AppRoleLedger(
            entry.view_prefix, await _salt(barrier, entry.view_prefix + approle.SALT_KEY)
        )
        for entry in mounts.auth
        if entry.type == "approle"
    }
    examination = Examination(
        mounts,
        TokenLedger(await _salt(barrier, tokens.SALT_KEY), entities),
        entities,
        kv2_ledgers,
        approle_ledgers,
        now_ns,
    )
    return _Begun(examination, list(kv2_ledgers.values()))


async def _salt(barrier: Barrier, key: str) -> str:
    """ "" when it is absent or damaged: the walk names a damaged one."""
    try:
        return (await barrier.get(key) or b"").decode("utf-8", "replace")
    except ENTRY_ERRORS:
        return ""


async def path_codec(barrier: Barrier, prefix: str) -> PathCodec | None:
    """The name codec of the KV v2 mount at ``prefix``; None when absent or damaged."""
    try:
        data = await barrier.get(prefix + kv2.POLICY_KEY)
        return None if data is None else PathCodec(decode_path_policy(data))
    except ENTRY_ERRORS:
        return None
