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
