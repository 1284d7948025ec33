"""Copy a store, bring a copy up to date, and prove it.

What lives here: permission (an empty destination, or this copy's own journal), passes, the proof
at the end, reports. What never does: a value opened; ciphertext moves as it is.

Reality decides: a resumed copy compares what is in the destination and believes nothing of its
journal but that the destination was empty when it began.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from zvault.base.clock import Clock, SystemClock
from zvault.base.errors import PreconditionError
from zvault.storage.api import Storage
from zvault.storage.compare import compare_stores, describe
from zvault.storage.copy_journal import CopyJournal, JournalState
from zvault.storage.errors import CopyProofError, DestinationNotEmptyError, EmptySourceError
from zvault.storage.keys import KEYRING_KEY, MIGRATION_KEY
from zvault.storage.pairing import merge, one_sided, proof_of
from zvault.storage.remembered import Remembered
from zvault.storage.transfer import Outcome, Tally, Transfer
from zvault.storage.walk import walk
from zvault.storage.window import each

DEFAULT_PARALLEL = 64
_STEP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a copy is. ``bytes`` are values moved or found equal; ``seconds`` since the start."""

    entries: int
    bytes: int
    seconds: float

    @property
    def entries_per_second(self) -> float:
        return self.entries / self.seconds if self.seconds > 0 else 0.0


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class CopyReport:
    """A finished, proven copy.

    ``entries``/``bytes``: what the destination now holds. ``written`` of them by this run, the
    others an interrupted run had written. ``retransmitted``: entries that a second pass found
    changed, new or gone (only with ``source_may_change``). ``read_back``: entries whose equality
    was read, the others' was seen in an MD5 listing; ``proof`` names the kind. ``foreign``: names
    in the source without an entry behind them, not copied. ``leftovers``: copied entries that
    look like a killed server's temporary file. ``live``: the source was allowed to change, so each
    entry was seen equal once and the two stores never as a whole.
    """

    source: str
    destination: str
    entries: int
    bytes: int
    written: int
    skipped: int
    retransmitted: int
    read_back: int
    proof: str
    foreign: tuple[str, ...]
    leftovers: tuple[str, ...]
    resumed: bool
    live: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class SyncReport:
    """A finished, proven delta. Every entry was compared equal or written and read back.

    ``known``: of ``kept``, those compared in an earlier pass that have not moved since.
    """

    source: str
    destination: str
    entries: int
    bytes: int
    written: int
    deleted: int
    kept: int
    known: int
    skipped: int
    read_back: int
    proof: str
    foreign: tuple[str, ...]
    leftovers: tuple[str, ...]
    seconds: float


async def copy_store(
    source: Storage,
    destination: Storage,
    *,
    journal: Path | None = None,
    on_progress: OnProgress | None = None,
    source_may_change: bool = False,
    remembered: Remembered | None = None,
    parallel: int = DEFAULT_PARALLEL,
    clock: Clock | None = None,
) -> CopyReport:
    """Copy every entry into an empty destination and prove that both sides are equal.

    With ``journal`` a copy that was killed resumes. ``source_may_change`` says that a server writes
    to the source: then a second pass, each write read back, replaces the comparison, and what
    changes after it is ``sync_store``'s, which reads less of what that pass ``remembered``. Raises
    DestinationNotEmptyError, EmptySourceError, CopyJournalError, CopyProofError, CorruptEntryError,
    StorageError; what was copied stays.
    """
    here, there = identity(source), identity(destination)
    refuse_overlap(here, there)
    await _refuse_empty(source)
    log: CopyJournal | None = None
    if journal is not None:
        log = CopyJournal.open(journal, source=here, destination=there)
    try:
        run = _Run(
            source, destination, parallel, log, on_progress, clock or SystemClock(), remembered
        )
        return await run.copy(source_may_change)
    finally:
        if log is not None:
            log.close()


async def sync_store(
    source: Storage,
    destination: Storage,
    *,
    on_progress: OnProgress | None = None,
    remembered: Remembered | None = None,
    parallel: int = DEFAULT_PARALLEL,
    clock: Clock | None = None,
) -> SyncReport:
    """Make the destination equal to a source that stands still, deletions included.

    One pass that is its own proof: every entry either compared equal or was written and read back;
    what the source lacks was deleted and read back as absent. What is ``remembered`` and has not
    moved is not read again. Raises as ``copy_store``.
    """
    refuse_overlap(identity(source), identity(destination))
    await _refuse_empty(source)
    run = _Run(source, destination, parallel, None, on_progress, clock or SystemClock(), remembered)
    tally = await run.one_pass(read_back=True, fresh=False)
    return SyncReport(
        source=source.url,
        destination=destination.url,
        entries=tally.entries,
        bytes=tally.bytes,
        written=tally.written,
        deleted=tally.deleted,
        kept=tally.kept,
        known=tally.known,
        skipped=tally.skipped,
        read_back=tally.read_back,
        proof=_proof(tally),
        foreign=tally.foreign,
        leftovers=tally.leftovers,
        seconds=run.seconds(),
    )


def identity(storage: Storage) -> str:
    """What tells two places apart: the URL, for S3 with the endpoint in front."""
    return str(getattr(storage, "identity", storage.url))


def refuse_overlap(source: str, destination: str) -> None:
    """Raise PreconditionError when one store lies in the other."""
    a, b = source.rstrip("/") + "/", destination.rstrip("/") + "/"
    if not source.startswith(("file:", "s3 ")):
        return
    if a.startswith(b) or b.startswith(a):
        raise PreconditionError(
            f"{source} and {destination} overlap", hint="name a destination outside the source"
        )


def refuse_same(a: Storage, b: Storage) -> None:
    """Raise PreconditionError when both are one place: comparing it with itself shows nothing."""
    if identity(a) == identity(b):
        raise PreconditionError(
            f"{a.url} and {b.url} are the same store", hint="name the two stores to compare"
        )


async def _refuse_empty(source: Storage) -> None:
    async for _ in walk(source):
        return
    raise EmptySourceError(
        f"{source.url} holds nothing", hint="check the path, bucket and prefix of the source"
    )


async def _refuse_filled(destination: Storage, state: JournalState) -> None:
    """Only an empty destination, or one that this very copy began to fill."""
    if state.begun and not state.done:
        if state.finishing or await destination.get(KEYRING_KEY) is None:
            return
        raise DestinationNotEmptyError(
            f"{destination.url} was initialised after this copy was interrupted",
            hint="it is another store now; copy into a fresh place",
        )
    async for key in walk(destination):
        if key != MIGRATION_KEY:
            raise DestinationNotEmptyError(
                f"{destination.url} is not empty: it holds {key!r}",
                hint="copy into a fresh place; nothing there was touched",
            )


class _Run:
    """One copy under way: passes, progress, journal."""

    def __init__(
        self,
        source: Storage,
        destination: Storage,
        parallel: int,
        log: CopyJournal | None,
        on_progress: OnProgress | None,
        clock: Clock,
        remembered: Remembered | None,
    ) -> None:
        self._source = source
        self._destination = destination
        self._parallel = parallel
        self._log = log
        self._on_progress = on_progress
        self._clock = clock
        self._remembered = remembered
        self._start = self._told = clock.monotonic()

    def seconds(self) -> float:
        """Since the start."""
        return self._clock.monotonic() - self._start

    async def copy(self, source_may_change: bool) -> CopyReport:
        state = self._log.state if self._log is not None else JournalState()
        await _refuse_filled(self._destination, state)
        resumed = state.begun and not state.done
        if self._log is not None and not resumed:
            await asyncio.to_thread(self._log.begin)
        if state.finishing and not source_may_change and await self._is_whole():
            first = Tally()  # all was written; a server may have begun to use it: only look
        else:
            first = await self.one_pass(read_back=False, fresh=not resumed)
        if source_may_change:
            final = await self.one_pass(read_back=True, fresh=False)
            proof = _proof(final)
            report = self._report(first, final, final.read_back, proof, resumed, live=True)
        else:
            report = await self._prove(first, resumed)
        if self._log is not None:
            await asyncio.to_thread(self._log.done, report.entries, report.bytes)
        return report

    async def _is_whole(self) -> bool:
        return await self._destination.get(KEYRING_KEY) is not None

    async def one_pass(self, *, read_back: bool, fresh: bool) -> Tally:
        """Go over all keys once; the last keys at the end."""
        source, destination = self._source, self._destination
        transfer = Transfer(source, destination, self._parallel, read_back, self._remembered)
        begin = Tally()
        if fresh:
            pairs = one_sided(source)
        elif self._remembered is None:
            pairs = merge(source, destination)
        else:
            moved = await self._remembered.moved(source, destination)
            begin = Tally(kept=moved.known, known=moved.known, bytes=moved.known_bytes)
            pairs = each(moved.pairs)
        tally = await self._follow(transfer.run(pairs), begin)
        if self._log is not None:
            await asyncio.to_thread(self._log.finishing)
        tally = await self._follow(transfer.run_last(), tally)
        self._tell(tally)
        return tally

    async def _follow(self, outcomes: AsyncIterator[Outcome], tally: Tally) -> Tally:
        async for outcome in outcomes:
            tally = tally.plus(outcome)
            if self._clock.monotonic() - self._told >= _STEP_SECONDS:
                self._tell(tally)
                if self._log is not None:
                    await asyncio.to_thread(
                        self._log.reached, outcome.key, tally.entries, tally.bytes
                    )
        return tally

    async def _prove(self, first: Tally, resumed: bool) -> CopyReport:
        comparison = await compare_stores(self._source, self._destination, parallel=self._parallel)
        if not comparison.equal:
            raise CopyProofError(
                f"{self._destination.url} does not equal {self._source.url} after the copy: "
                f"{describe(comparison)}",
                hint="stop whatever writes to either side, then copy into a fresh place",
            )
        final = Tally(
            kept=comparison.compared,
            bytes=comparison.compared_bytes,
            foreign=comparison.foreign_a,
            leftovers=first.leftovers,
        )
        return self._report(first, final, comparison.read_back, comparison.proof, resumed)

    def _report(
        self,
        first: Tally,
        final: Tally,
        read_back: int,
        proof: str,
        resumed: bool,
        *,
        live: bool = False,
    ) -> CopyReport:
        return CopyReport(
            source=self._source.url,
            destination=self._destination.url,
            entries=final.entries,
            bytes=final.bytes,
            written=first.written,
            skipped=first.skipped,
            retransmitted=final.written + final.deleted,
            read_back=read_back,
            proof=proof,
            foreign=final.foreign,
            leftovers=final.leftovers,
            resumed=resumed,
            live=live,
            seconds=self.seconds(),
        )

    def _tell(self, tally: Tally) -> None:
        self._told = self._clock.monotonic()
        if self._on_progress is not None:
            self._on_progress(Progress(tally.entries, tally.bytes, self.seconds()))


def _proof(tally: Tally) -> str:
    return proof_of(tally.entries, tally.read_back, tally.known)
