"""What was seen equal in two stores, so that it need not be read again.

What lives here: both marks of each entry at the moment it was seen equal, and which entries have
moved since. What never does: a value read, anything on a disk.

Invariants: an entry is known only while neither of its marks has moved; it was noted with marks
that were listed before its values were read; a wall clock that was set back takes everything with
it, because a stamp could come a second time; the memory ends with the process, because after a
power cut a stamp says nothing.
"""

import asyncio
from dataclasses import dataclass

from zvault.base.clock import Clock, ClockWatch
from zvault.storage.api import Storage
from zvault.storage.keys import LAST_KEYS
from zvault.storage.listing import Mark, ObjectInfo
from zvault.storage.pairing import Judged, Pair, Verdict
from zvault.storage.walk import survey


@dataclass(frozen=True, slots=True)
class Moved:
    """``pairs``: what has to be looked at, in the walk's order. ``known``: how many entries have
    not moved since they were seen equal, ``known_bytes`` of values.
    """

    pairs: list[Pair]
    known: int
    known_bytes: int


class Remembered:
    """Of one pair of stores. Some 500 bytes an entry."""

    def __init__(self, clock: Clock) -> None:
        self._pairs: dict[str, tuple[Mark, Mark, int]] = {}
        self._watch = ClockWatch(clock)

    async def moved(self, a: Storage, b: Storage) -> Moved:
        """List both sides. Raises StorageError.

        The last keys of a copy always count as moved.
        """
        if self._watch.went_back():
            self._pairs.clear()
        listed_a, listed_b = await asyncio.gather(survey(a, self._pairs), survey(b, self._pairs))
        moved = [key for key, info in listed_a.items() if not self._holds(info, listed_b.get(key))]
        moved += [key for key in listed_b if key not in listed_a]
        for key in moved:
            self._pairs.pop(key, None)
        for key in self._pairs.keys() - listed_a.keys():
            del self._pairs[key]
        sizes = [size for _, _, size in self._pairs.values()]
        pairs = [Pair(key, listed_a.get(key), listed_b.get(key)) for key in sorted(moved)]
        return Moved(pairs, len(sizes), sum(sizes))

    def note(self, pair: Pair, judged: Judged) -> None:
        """Remember a pair of ``moved`` that was then judged equal.

        An object's MD5 must be what equality was seen by: what was read instead is of a later
        moment than the listing, and the older content would have the listed MD5 again.
        """
        if pair.a is None or pair.b is None or judged.verdict is not Verdict.EQUAL:
            return
        is_tagged = pair.a.etag_md5 is not None or pair.b.etag_md5 is not None
        mark_a, mark_b = pair.a.mark, pair.b.mark
        if mark_a is not None and mark_b is not None and not (is_tagged and judged.read_back):
            self._pairs[pair.key] = (mark_a, mark_b, judged.size)

    def _holds(self, a: ObjectInfo, b: ObjectInfo | None) -> bool:
        known = self._pairs.get(a.key)
        if known is None or b is None or a.key in LAST_KEYS:
            return False
        return a.mark == known[0] and b.mark == known[1]
