"""A bounded memory of values, the least recently used leave first.

What lives here: bytes counted. What never does: deciding when a value is stale; the one writer of
a store tells it. A value larger than an eighth of the limit is not kept.
"""

from collections import OrderedDict

_OVERHEAD_BYTES = 200


class ValueCache:
    """Key to value, at most ``limit_bytes`` in all; 0 keeps nothing."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._size = 0
        self._values: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: str, value: bytes) -> None:
        self.drop(key)
        cost = len(value) + len(key) + _OVERHEAD_BYTES
        if cost > self._limit // 8:
            return
        self._values[key] = value
        self._size += cost
        while self._size > self._limit:
            oldest, dropped = self._values.popitem(last=False)
            self._size -= len(dropped) + len(oldest) + _OVERHEAD_BYTES

    def drop(self, key: str) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self._size -= len(value) + len(key) + _OVERHEAD_BYTES

    def __len__(self) -> int:
        return len(self._values)


class FetchCache:
    """A cache for a slow store with one writer: a fetch that a write overtook is not kept.

    ``begin_fetch`` before the request, ``end_fetch`` with the answer; ``begin_write`` and
    ``end_write`` around a write. Between two writes to a key nothing stale can be remembered.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._cache = ValueCache(limit_bytes)
        self._fetches: dict[str, object] = {}
        self._writing: dict[str, int] = {}

    def get(self, key: str) -> bytes | None:
        return self._cache.get(key)

    def begin_fetch(self, key: str) -> object:
        token = object()
        self._fetches[key] = token
        return token

    def end_fetch(self, key: str, token: object, value: bytes | None) -> None:
        if self._fetches.get(key) is not token:
            return
        del self._fetches[key]
        if value is not None and key not in self._writing:
            self._cache.put(key, value)

    def begin_write(self, key: str) -> None:
        self._writing[key] = self._writing.get(key, 0) + 1
        self._fetches.pop(key, None)
        self._cache.drop(key)

    def end_write(self, key: str, value: bytes | None) -> None:
        """``value`` is what the store holds now; None when that is unknown or absent."""
        self._fetches.pop(key, None)
        self._cache.drop(key)
        left = self._writing[key] - 1
        if left:
            self._writing[key] = left
            return
        del self._writing[key]
        if value is not None:
            self._cache.put(key, value)
