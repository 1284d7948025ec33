"""A store in memory: gone with the process.

What lives here: the model of the storage protocol, for tests, drills and ``storage "inmem"``.
Same key checks as every other backend, so that what works here works there.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Mapping, Sequence

from zvault.storage import keys
from zvault.storage.api import Operation, Put
from zvault.storage.listing import ObjectInfo, Stamp


class InMemStorage:
    """Keys and values in a dict, plus the keys in order for listing."""

    def __init__(self, values: Mapping[str, bytes] | None = None, *, url: str = "inmem:") -> None:
        self._url = url
        self._values = dict(values or {})
        self._order = sorted(self._values)

    @property
    def url(self) -> str:
        return self._url

    async def get(self, key: str) -> bytes | None:
        return self._values.get(key) if keys.is_storable_for_reading(key) else None

    async def apply(self, operations: Sequence[Operation]) -> None:
        keys.check_operations(operations)
        for operation in operations:
            if isinstance(operation, Put):
                self._put(operation.key, operation.value)
            else:
                self._delete(operation.key)

    async def list(self, prefix: str) -> list[str]:
        if not keys.check_prefix(prefix):
            return []
        children: dict[str, None] = {}
        for position in range(bisect_left(self._order, prefix), len(self._order)):
            key = self._order[position]
            if not key.startswith(prefix):
                break
            name, slash, _ = key[len(prefix) :].partition("/")
            children[name + slash] = None
        return sorted(children)

    async def list_objects(
        self, prefix: str = "", *, after: str | None = None
    ) -> AsyncIterator[ObjectInfo]:
        if not keys.check_prefix(prefix):
            return
        last = after
        while True:  # finds its place anew each time: writers may come between
            position = bisect_left(self._order, prefix)
            if last is not None:
                position = max(position, bisect_right(self._order, last))
            if position >= len(self._order) or not self._order[position].startswith(prefix):
                return
            last = self._order[position]
            yield ObjectInfo(last, len(self._values[last]))

    def stamp(self, key: str) -> Stamp | None:
        """A digest: nothing else stays true when a test lays hands on the values."""
        value = self._values.get(key)
        return None if value is None else (int.from_bytes(hashlib.sha256(value).digest()),)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _put(self, key: str, value: bytes) -> None:
        if key not in self._values:
            self._order.insert(bisect_left(self._order, key), key)
        self._values[key] = bytes(value)

    def _delete(self, key: str) -> None:
        if self._values.pop(key, None) is not None:
            del self._order[bisect_left(self._order, key)]
