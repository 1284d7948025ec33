"""One pass that makes a destination hold what a source holds.

What lives here: what to do with each pair and doing it, bounded and in order. What never does:
permission (``copy.py``), the proof of a whole store (``compare.py``).

Order (must): ``core/seal-config`` and ``core/keyring`` come last, so that a half-filled
destination never counts as an initialised Vault.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from enum import Enum

from zvault.storage.api import Delete, Put, Storage
from zvault.storage.errors import CopyProofError
from zvault.storage.keys import LAST_KEYS, is_leftover_name, is_skipped_by_copy
from zvault.storage.listing import ObjectInfo
from zvault.storage.pairing import Judged, Pair, Verdict, judge
from zvault.storage.remembered import Remembered
from zvault.storage.window import ordered_map


class Deed(Enum):
    """What happened to one key."""

    KEPT = "was equal already"
    WRITTEN = "written"
    DELETED = "deleted"
    SKIPPED = "belongs to its place"
    FOREIGN = "listed without an entry"
    LATER = "one of the last keys"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One key's deed; ``size`` in bytes, ``read_back`` when its equality was read, not listed."""

    key: str
    deed: Deed
    size: int = 0
    read_back: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """The sum of outcomes. ``entries`` and ``bytes``: what the destination holds of the source.

    ``known``: of ``kept``, what was seen equal before and has not moved since.
    """

    kept: int = 0
    written: int = 0
    deleted: int = 0
    skipped: int = 0
    bytes: int = 0
    read_back: int = 0
    known: int = 0
    foreign: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()

    @property
    def entries(self) -> int:
        return self.kept + self.written

    def plus(self, outcome: Outcome) -> "Tally":
        """With one more outcome."""
        deed = outcome.deed
        if deed is Deed.KEPT or deed is Deed.WRITTEN:
            return replace(
                self,
                kept=self.kept + (deed is Deed.KEPT),
                written=self.written + (deed is Deed.WRITTEN),
                bytes=self.bytes + outcome.size,
                read_back=self.read_back + outcome.read_back,
                leftovers=self.leftovers + (outcome.key,) * is_leftover_name(outcome.key),
            )
        if deed is Deed.DELETED:
            return replace(self, deleted=self.deleted + 1)
        if deed is Deed.SKIPPED:
            return replace(self, skipped=self.skipped + 1)
        if deed is Deed.FOREIGN:
            return replace(self, foreign=(*self.foreign, outcome.key))
        return self


def decide(judged: Judged) -> Deed:
    """What the destination (side b) needs so that it holds what the source holds."""
    return {
        Verdict.EQUAL: Deed.KEPT,
        Verdict.ONLY_A: Deed.WRITTEN,
        Verdict.DIFFERENT: Deed.WRITTEN,
        Verdict.ONLY_B: Deed.DELETED,
        Verdict.NEITHER: Deed.FOREIGN,
    }[judged.verdict]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A pass from ``source`` to ``destination``.

    ``read_back``: every write and deletion is read back at once, so that the pass is a proof of its
    own when the source stands still. ``remembered`` is told what was seen equal. Raises
    StorageError, CorruptEntryError, CopyProofError.
    """

    source: Storage
    destination: Storage
    parallel: int
    read_back: bool
    remembered: Remembered | None = None

    async def run(self, pairs: AsyncIterator[Pair]) -> AsyncIterator[Outcome]:
        """Do every pair but the last keys; outcomes in the walk's order."""
        async with contextlib.aclosing(ordered_map(pairs, self._one, self.parallel)) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def run_last(self) -> AsyncIterator[Outcome]:
        """Do the last keys, one after the other."""
        for key in LAST_KEYS:
            listed = ObjectInfo(key)
            outcome = await self._hold(Pair(key, listed, listed))
            if outcome.deed is not Deed.FOREIGN:
                yield outcome

    async def _one(self, pair: Pair) -> Outcome:
        if is_skipped_by_copy(pair.key):
            return Outcome(pair.key, Deed.SKIPPED)
        if pair.key in LAST_KEYS:
            return Outcome(pair.key, Deed.LATER)
        return await self._hold(pair)

    async def _hold(self, pair: Pair) -> Outcome:
        judged = await judge(self.source, self.destination, pair)
        if self.remembered is not None:
            self.remembered.note(pair, judged)
        deed = decide(judged)
        if deed is Deed.WRITTEN:
            assert judged.value_a is not None
            await self._write(pair.key, judged.value_a)
        elif deed is Deed.DELETED:
            await self._delete(pair.key)
        compared = judged.read_back if deed is Deed.KEPT else self.read_back
        return Outcome(pair.key, deed, judged.size, compared)

    async def _write(self, key: str, value: bytes) -> None:
        await self.destination.apply([Put(key, value)])
        if self.read_back and await self.destination.get(key) != value:
            raise self._lost(key, "what was written is not what is read back")

    async def _delete(self, key: str) -> None:
        await self.destination.apply([Delete(key)])
        if self.read_back and await self.destination.get(key) is not None:
            raise self._lost(key, "it is still there after its deletion")

    def _lost(self, key: str, cause: str) -> CopyProofError:
        return CopyProofError(
            f"entry {key!r} of {self.destination.url}: {cause}",
            hint="look for another writer, then run again; the destination is not proven",
        )
