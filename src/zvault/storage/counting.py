"""Counts what passes, for metrics, benchmarks and tests that state how many calls a thing costs.

What lives here: a decorator that is a Storage.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from zvault.storage.api import Operation, Put, Storage
from zvault.storage.listing import ObjectInfo
from zvault.storage.walk import inventory


@dataclass(slots=True)
class Counts:
    """Calls since the start; ``written_bytes`` counts values of puts."""

    gets: int = 0
    lists: int = 0
    applies: int = 0
    puts: int = 0
    deletes: int = 0
    written_bytes: int = 0


class CountingStorage:
    """``inner``, counted. ``counts`` may be read at any time."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self.counts = Counts()

    @property
    def url(self) -> str:
        return self.inner.url

    async def get(self, key: str) -> bytes | None:
        self.counts.gets += 1
        return await self.inner.get(key)

    async def apply(self, operations: Sequence[Operation]) -> None:
        self.counts.applies += 1
        for operation in operations:
            if isinstance(operation, Put):
                self.counts.puts += 1
                self.counts.written_bytes += len(operation.value)
            else:
                self.counts.deletes += 1
        await self.inner.apply(operations)

    async def list(self, prefix: str) -> list[str]:
        self.counts.lists += 1
        return await self.inner.list(prefix)

    def list_objects(
        self, prefix: str = "", *, after: str | None = None
    ) -> AsyncIterator[ObjectInfo]:
        self.counts.lists += 1
        return inventory(self.inner, prefix=prefix, after=after)

    async def close(self) -> None:
        await self.inner.close()
