"""What a KV version 2 mount remembers of its secrets: metadata and ready answers.

What lives here: a bounded least-recently-used map. What never does: storage, a decision.
Invariants: what is here equals what is durable in storage (the store puts it in after reading or
writing under the path's lock, and drops it when a write fails); the sum of sizes stays below the
limit; it dies with the backend, so nothing outlives a seal.
"""

from collections import OrderedDict

from zvault.engine.userdata import EncodedData
from zvault.records.kv2 import KeyMetadata

DEFAULT_LIMIT_BYTES = 24 * 1024 * 1024
_OVERHEAD_BYTES = 2048
_ANSWER_FACTOR = 5
"""Bytes that a decoded answer takes per byte of its JSON, roughly: text, objects, audit memo."""


class Known:
    """One secret: its metadata (never changed in place) and answers for versions read lately."""

    __slots__ = ("answers", "clean_below", "fresh", "key", "meta", "size")

    def __init__(
        self,
        meta: KeyMetadata,
        encoded_size: int,
        key: str,
        clean_below: int = 0,
        fresh: tuple[int, bytes] | None = None,
    ) -> None:
        self.meta = meta
        self.key = key
        """Of the metadata, below the mount."""
        self.fresh = fresh
        """Number and stored JSON of the version just written, not decoded before it is read."""
        self.answers: dict[int, tuple[EncodedData, int]] = {}
        """Version → (answer, nanosecond from which it is deleted; 0 = never)."""
        self.clean_below = clean_below
        """No version data below this number is left in storage, as far as we have looked."""
        self.size = _OVERHEAD_BYTES + 4 * encoded_size + (len(fresh[1]) if fresh else 0)


class Kv2Cache:
    """Secret path → Known."""

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._touch = self._known.move_to_end
        self.size = 0

    def get(self, path: str) -> Known | None:
        """What is known of a path; counts as a use."""
        known = self._known.get(path)
        if known is not None:
            self._touch(path)
        return known

    def put(self, path: str, known: Known) -> None:
        """Remember, in place of what was known before."""
        self.drop(path)
        self._known[path] = known
        self.size += known.size
        self._shrink()

    def add_answer(self, path: str, version: int, answer: EncodedData, until_ns: int) -> None:
        """Remember an answer of a path that is known; too large a one is not kept."""
        known = self._known.get(path)
        size = _OVERHEAD_BYTES + _ANSWER_FACTOR * len(answer.encoded)
        if known is None or version in known.answers or size > self._limit // 8:
            return
        known.answers[version] = (answer, until_ns)
        known.size += size
        self.size += size
        self._shrink()

    def drop(self, path: str) -> None:
        """Forget; absent is fine."""
        known = self._known.pop(path, None)
        if known is not None:
            self.size -= known.size

    def _shrink(self) -> None:
        while self.size > self._limit and self._known:
            _, known = self._known.popitem(last=False)
            self.size -= known.size

    def __len__(self) -> int:
        return len(self._known)
