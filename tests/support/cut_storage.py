"""A store that dies between two operations of one ``apply``: a prefix of them has happened."""

from collections.abc import Sequence

from tests.support.faulty_storage import Killed
from zvault.storage.api import Operation, Storage


class CutStorage:
    """``inner`` until ``left`` single operations were done; then every write raises ``Killed``.

    ``left`` None = never. ``done`` counts the operations that happened.
    """

    def __init__(self, inner: Storage, left: int | None = None) -> None:
        self.inner = inner
        self.left = left
        self.done = 0

    @property
    def url(self) -> str:
        return self.inner.url

    async def get(self, key: str) -> bytes | None:
        return await self.inner.get(key)

    async def apply(self, operations: Sequence[Operation]) -> None:
        for operation in operations:
            if self.left is not None and self.done >= self.left:
                raise Killed(f"after {self.done} operations")
            await self.inner.apply([operation])
            self.done += 1

    async def list(self, prefix: str) -> list[str]:
        return await self.inner.list(prefix)

    async def close(self) -> None:
        await self.inner.close()
