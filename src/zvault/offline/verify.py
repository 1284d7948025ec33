"""Go through a whole store: open every entry, decode what is known, check what belongs together.

What lives here: the loop, and what to make of an entry that does not open. What never does: a
write. Memory: some 100 bytes for each version, token and secret id, never the values; with
``known`` some 500 bytes an entry.
Invariant: every listed key ends up counted as opened, plaintext, unopened or vanished.
"""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from zvault.barrier.barrier import Barrier
from zvault.barrier.errors import UnreadableEntryError, UnsupportedSealError
from zvault.barrier.paths import KEYRING, PLAINTEXT_KEYS
from zvault.barrier.unseal import open_keyring
from zvault.base.clock import Clock, SystemClock
from zvault.offline.errors import ENTRY_ERRORS
from zvault.offline.examine import Examination, Fact
from zvault.offline.facts import Context, FactReader, Kv2Context, reason_of
from zvault.offline.known import Known
from zvault.offline.ledger_approle import AppRoleLedger
from zvault.offline.ledger_kv2 import Kv2Ledger
from zvault.offline.open import KeySource, OfflineStore, open_offline
from zvault.offline.report import Finding, Named, Unopened, VerifyReport
from zvault.records import approle, kv2, tokens
from zvault.records.errors import RecordError
from zvault.storage.api import Storage
from zvault.storage.errors import CorruptEntryError
from zvault.storage.keys import MIGRATION_KEY, is_leftover_name, is_skipped_by_copy
from zvault.storage.listing import ObjectInfo
from zvault.storage.walk import inventory, survey
from zvault.storage.window import each, ordered_map

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
    known: Known | None = None,
    parallel: int = DEFAULT_PARALLEL,
    clock: Clock | None = None,
) -> VerifyReport:
    """Open and check everything. Raises as ``open_offline``; what does not open is reported.

    Keys that are listed and gone when read mean that a server is writing: no error, but counted.
    What is ``known`` and has not moved is held against the rest and not opened again; how many of
    its versions can be read now is then of the time when it was.
    """
    clock = clock or SystemClock()
    start = clock.monotonic()
    store = await open_offline(storage, key_source, clock=clock)
    run = _Run(store, await _context(store), clock, known)
    infos = inventory(storage) if known is None else await run.unknown(known)
    async with contextlib.aclosing(ordered_map(infos, run.read, parallel)) as results:
        async for info, value in results:
            await run.take(info, value)
            if on_progress is not None and run.entries % _PROGRESS_EVERY == 0:
                on_progress(VerifyProgress(run.entries, clock.monotonic() - start))
    await run.conclude()
    if on_progress is not None:
        on_progress(VerifyProgress(run.entries, clock.monotonic() - start))
    return run.report(clock.monotonic() - start)


class _Run:
    """One pass over the keys."""

    def __init__(
        self, store: OfflineStore, context: Context, clock: Clock, known: Known | None
    ) -> None:
        self._store = store
        self._barrier = store.barrier
        self._facts = FactReader(context, clock.now_ns())
        self._kv2_ledgers = {
            one.prefix: Kv2Ledger(one.prefix, one.path, one.salt) for one in context.kv2
        }
        self._examination = Examination(
            store.mounts,
            self._kv2_ledgers,
            {prefix: AppRoleLedger(prefix) for prefix, _ in context.approle_salts},
            has_token_salt=bool(context.token_salt),
        )
        self._context = context
        self._known = known
        self._waiting: dict[str, Fact] = {}
        """With ``known``: what is told the examination at the end, when it can be in order."""
        if known is not None:
            known.begin(context, store.barrier.keyring)
        self._clock = clock
        self._unopened = Named()
        self._findings = Named()
        self._losses = 0
        self._absent: list[str] = []
        self._vanished = 0
        self._known_count = 0
        self.entries = 0

    async def unknown(self, known: Known) -> AsyncIterator[ObjectInfo]:
        """The entries that have to be opened; what is known of the others is taken."""
        infos = await survey(self._store.storage, known.keys)
        known.keep_only(infos.keys())
        facts = {key: known.fact(info) for key, info in infos.items()}
        self._waiting = {key: fact for key, fact in facts.items() if fact is not None}
        self._known_count = len(self._waiting)
        self.entries += self._known_count
        return each([infos[key] for key in sorted(infos.keys() - self._waiting.keys())])

    async def read(self, info: ObjectInfo) -> tuple[ObjectInfo, bytes | CorruptEntryError | None]:
        """The value; an error about this one entry is a result, others end the run."""
        try:
            return info, await self._store.storage.get(info.key)
        except CorruptEntryError as error:
            return info, error

    async def take(self, info: ObjectInfo, value: bytes | CorruptEntryError | None) -> None:
        """Judge one entry."""
        key = info.key
        if value is None:
            self._absent.append(key)
            return
        self.entries += 1
        if isinstance(value, CorruptEntryError):
            self._refuse(key, value.cause)
        elif key in PLAINTEXT_KEYS or is_skipped_by_copy(key):
            self._take_plaintext(key)
        elif key != KEYRING:
            await self._open(info, value)

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

    async def _open(self, info: ObjectInfo, record: bytes) -> None:
        key = info.key
        try:
            fact = self._facts.read(key, await self._decrypt(key, record))
        except UnreadableEntryError as error:
            self._refuse(key, error.reason)
        except (RecordError, UnsupportedSealError) as error:
            self._refuse(key, reason_of(error))
        else:
            if self._known is None:
                self._examination.add(key, fact)
            else:
                md5 = hashlib.md5(record, usedforsecurity=False).hexdigest()
                self._known.note(info, md5, fact)
                self._waiting[key] = fact

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
                if self._known is not None:
                    self._known.begin(self._context, new)
                return True
        return False

    def _find(self, finding: Finding) -> None:
        self._findings.add(finding)
        self._losses += finding.is_loss

    async def conclude(self) -> None:
        """What only shows at the end."""
        for key in sorted(self._waiting):
            self._examination.add(key, self._waiting[key])
        await self._judge_absent()
        for finding in self._store.mounts.losses():
            self._find(finding)
        for finding in self._examination.findings():
            self._find(finding)
        for ledger in self._kv2_ledgers.values():
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
            known=self._known_count,
            seconds=seconds,
        )


async def _context(store: OfflineStore) -> Context:
    """Fetch the salts and name policies that references need."""
    barrier, mounts = store.barrier, store.mounts
    kv2_contexts = []
    for entry in mounts.engines:
        if entry.kv_version == 2 and entry.backend_aware_uuid:
            prefix = f"{entry.view_prefix}{entry.backend_aware_uuid}/"
            salt = await _text(barrier, prefix + kv2.SALT_KEY)
            policy = await _plaintext(barrier, prefix + kv2.POLICY_KEY)
            kv2_contexts.append(Kv2Context(prefix, entry.path, salt, policy))
    approle_salts = [
        (entry.view_prefix, await _text(barrier, entry.view_prefix + approle.SALT_KEY))
        for entry in mounts.auth
        if entry.type == "approle"
    ]
    return Context(
        mounts, await _text(barrier, tokens.SALT_KEY), tuple(kv2_contexts), tuple(approle_salts)
    )


async def _plaintext(barrier: Barrier, key: str) -> bytes | None:
    """None when it is absent or damaged: the walk names a damaged one."""
    try:
        return await barrier.get(key)
    except ENTRY_ERRORS:
        return None


async def _text(barrier: Barrier, key: str) -> str:
    """A salt; "" when it is absent or damaged."""
    return (await _plaintext(barrier, key) or b"").decode("utf-8", "replace")
