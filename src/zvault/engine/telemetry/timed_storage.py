"""Times what goes through to storage, under the names of Vault's barrier.

What lives here: a Storage around a Storage. What never does: a change of what passes.
Invariant: ``vault_barrier_get``, ``_put``, ``_delete`` and ``_list`` count every entry once, with
the time its call took, failures included.
"""

from collections.abc import Sequence

from zvault.base.clock import Clock
from zvault.engine.telemetry.metrics import Metrics
from zvault.storage.api import Operation, Put, Storage


class TimedStorage:
    """``inner``, timed."""

    def __init__(self, inner: Storage, clock: Clock, metrics: Metrics) -> None:
        self._inner = inner
        self._inner_get = inner.get
        self._now = clock.monotonic
        self._get = metrics.summary(("barrier", "get"))
        self._put = metrics.summary(("barrier", "put"))
        self._delete = metrics.summary(("barrier", "delete"))
        self._list = metrics.summary(("barrier", "list"))

    @property
    def url(self) -> str:
        return self._inner.url

    async def get(self, key: str) -> bytes | None:
        started = self._now()
        try:
            return await self._inner_get(key)
        finally:
            ended = self._now()
            self._get.add_at(ended, (ended - started) * 1e3)

    async def apply(self, operations: Sequence[Operation]) -> None:
        started = self._now()
        try:
            await self._inner.apply(operations)
        finally:
            ended = self._now()
            milliseconds = (ended - started) * 1e3
            for operation in operations:
                summary = self._put if isinstance(operation, Put) else self._delete
                summary.add_at(ended, milliseconds)

    async def list(self, prefix: str) -> list[str]:
        started = self._now()
        try:
            return await self._inner.list(prefix)
        finally:
            ended = self._now()
            self._list.add_at(ended, (ended - started) * 1e3)

    async def close(self) -> None:
        await self._inner.close()
