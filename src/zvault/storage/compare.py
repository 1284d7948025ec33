"""Whether two stores hold the same.

What lives here: the exact comparison; the only keys left out are those a copy leaves behind, and
they are counted. What never does: a write, a decision what to do about a difference.
"""

import contextlib
from dataclasses import dataclass

from zvault.storage.api import Storage
from zvault.storage.errors import EmptySourceError
from zvault.storage.keys import is_skipped_by_copy
from zvault.storage.pairing import Judged, Pair, Verdict, judge, merge, proof_of
from zvault.storage.remembered import Remembered
from zvault.storage.window import each, ordered_map

DEFAULT_PARALLEL = 64


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found. ``compared`` counts the entries that are there on both sides.

    ``skipped``: keys that a copy leaves behind, on either side. ``foreign_a``/``foreign_b``: names
    that a listing shows without an entry behind them (stray files, leftovers of a killed server);
    they are named and no difference. ``read_back``: entries equal by bytes; ``known``: seen equal
    before and not moved since; the others by MD5 tag.
    """

    missing_in_b: tuple[str, ...] = ()
    extra_in_b: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    foreign_a: tuple[str, ...] = ()
    foreign_b: tuple[str, ...] = ()
    skipped: int = 0
    compared: int = 0
    compared_bytes: int = 0
    read_back: int = 0
    known: int = 0

    @property
    def equal(self) -> bool:
        """True when every entry of either side is on the other, byte for byte."""
        return not (self.missing_in_b or self.extra_in_b or self.differing)

    @property
    def proof(self) -> str:
        """How equality was shown; the words are those of ``pairing.proof_of``."""
        return proof_of(self.compared, self.read_back, self.known)


async def compare_stores(
    a: Storage,
    b: Storage,
    *,
    remembered: Remembered | None = None,
    parallel: int = DEFAULT_PARALLEL,
) -> Comparison:
    """Compare every entry; what is ``remembered`` and has not moved is not read again.

    Raises StorageError, and CorruptEntryError for an unreadable entry.
    """
    missing: list[str] = []
    extra: list[str] = []
    differing: list[str] = []
    foreign_a: list[str] = []
    foreign_b: list[str] = []
    places = {Verdict.ONLY_A: missing, Verdict.ONLY_B: extra, Verdict.DIFFERENT: differing}
    skipped = compared = compared_bytes = read_back = known = 0
    pairs = merge(a, b)
    if remembered is not None:
        moved = await remembered.moved(a, b)
        pairs, known = each(moved.pairs), moved.known
        compared, compared_bytes = moved.known, moved.known_bytes

    async def hold(pair: Pair) -> Judged | None:
        if is_skipped_by_copy(pair.key):
            return None
        judged = await judge(a, b, pair)
        if remembered is not None:
            remembered.note(pair, judged)
        return judged

    async with contextlib.aclosing(ordered_map(pairs, hold, parallel)) as results:
        async for judged in results:
            if judged is None:
                skipped += 1
                continue
            if judged.foreign_a:
                foreign_a.append(judged.key)
            if judged.foreign_b:
                foreign_b.append(judged.key)
            if judged.verdict in places:
                places[judged.verdict].append(judged.key)
            if judged.verdict in (Verdict.EQUAL, Verdict.DIFFERENT):
                compared += 1
                compared_bytes += judged.size
                read_back += judged.read_back
    return Comparison(
        missing_in_b=tuple(missing),
        extra_in_b=tuple(extra),
        differing=tuple(differing),
        foreign_a=tuple(foreign_a),
        foreign_b=tuple(foreign_b),
        skipped=skipped,
        compared=compared,
        compared_bytes=compared_bytes,
        read_back=read_back,
        known=known,
    )


def refuse_nothing(comparison: Comparison, a: str, b: str) -> None:
    """Raise EmptySourceError when no entry was on either side: that is no equality shown."""
    if comparison.equal and not comparison.compared:
        raise EmptySourceError(
            f"neither {a} nor {b} holds an entry, so nothing was compared",
            hint="check both paths, buckets and prefixes",
        )


def describe(comparison: Comparison, limit: int = 5) -> str:
    """One sentence that names the first keys of each kind of difference."""
    kinds = (
        ("missing", comparison.missing_in_b),
        ("extra", comparison.extra_in_b),
        ("different", comparison.differing),
    )
    parts = []
    for word, keys in kinds:
        if keys:
            named = ", ".join(repr(key) for key in keys[:limit])
            parts.append(f"{len(keys)} {word} ({named}{', …' if len(keys) > limit else ''})")
    return "; ".join(parts) or f"equal: {comparison.compared} entries"
