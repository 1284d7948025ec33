"""Holds writes for a moment, so that a backup's last pass or a final compare sees one state.

What lives here: a decorator that is a Storage. Reads go on while writes wait.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from zvault.storage.api import Operation, Storage
from zvault.storage.listing import ObjectInfo
from zvault.storage.walk import inventory


class GatedStorage:
    """``inner`` with a gate before ``apply``. An open gate never suspends a caller."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self._holds = 0
        self._writing = 0
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        return self.inner.url

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Inside, no write is under way and none begins; those that come wait."""
        self._holds += 1
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: self._writing == 0)
            yield
        finally:
            self._holds -= 1
            await self._tell()

    async def get(self, key: str) -> bytes | None:
        return await self.inner.get(key)

    async def apply(self, operations: Sequence[Operation]) -> None:
        if self._holds:
            async with self._changed:
                await self._changed.wait_for(lambda: self._holds == 0)
        self._writing += 1
        try:
            await self.inner.apply(operations)
        finally:
            self._writing -= 1
            if self._holds and not self._writing:
                await self._tell()

    async def list(self, prefix: str) -> list[str]:
        return await self.inner.list(prefix)

    def list_objects(
        self, prefix: str = "", *, after: str | None = None
    ) -> AsyncIterator[ObjectInfo]:
        return inventory(self.inner, prefix=prefix, after=after)

    async def close(self) -> None:
        await self.inner.close()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
