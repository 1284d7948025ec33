"""A view: a key prefix glued in front of relative keys.

What lives here: the only thing a backend sees of the store. Invariant: a relative key that holds
``..`` is refused, so a view cannot be left.
"""

from collections.abc import Sequence

from zvault.barrier.barrier import Barrier
from zvault.barrier.errors import ViewPathError
from zvault.storage.api import Delete, Operation, Put


class View:
    """Part of the barrier below ``prefix`` ("" or ending in ``/``)."""

    __slots__ = ("_barrier", "_decrypt", "_storage", "prefix")

    def __init__(self, barrier: Barrier, prefix: str) -> None:
        self._barrier = barrier
        self._storage = barrier.storage
        self._decrypt = barrier.decrypt
        self.prefix = prefix

    def _full(self, key: str) -> str:
        if ".." in key:
            raise ViewPathError("a path may not contain '..'", hint="use the plain path")
        return self.prefix + key

    def sub(self, prefix: str) -> "View":
        """The view below ``prefix`` of this one."""
        return View(self._barrier, self._full(prefix))

    async def get(self, key: str) -> bytes | None:
        """The plaintext, None when absent. Raises UnreadableEntryError, StorageError."""
        full = self._full(key)
        record = await self._storage.get(full)
        return None if record is None else self._decrypt(full, record)

    async def record(self, key: str) -> bytes | None:
        """What storage holds, still sealed: for who has opened the same before.

        Raises StorageError.
        """
        return await self._storage.get(self._full(key))

    def open(self, key: str, record: bytes) -> bytes:
        """The plaintext of a ``record`` of ``key``. Raises UnreadableEntryError."""
        return self._decrypt(self._full(key), record)

    async def put(self, key: str, value: bytes) -> None:
        """Write one entry; durable on return. Raises StorageError."""
        await self._barrier.apply([Put(self._full(key), value)])

    async def put_slashed(self, key: str, value: bytes) -> None:
        """Like ``put``, for one of the few keys that real servers spell with a slash at the end.

        ``key``: without it, as the entry is named in storage. Raises StorageError.
        """
        full = self._full(key)
        await self._storage.apply([Put(full, self._barrier.encrypt(full + "/", value))])

    async def delete(self, key: str) -> None:
        """Remove one entry; absent is fine. Raises StorageError."""
        await self._barrier.apply([Delete(self._full(key))])

    async def apply(self, operations: Sequence[Operation]) -> None:
        """Do the operations (relative keys) in order; durable on return. Raises StorageError."""
        await self._barrier.apply([self.absolute(operation) for operation in operations])

    def absolute(self, operation: Operation) -> Operation:
        """The same operation with its whole key, to be joined with those of other views."""
        key = self._full(operation.key)
        if isinstance(operation, Put):
            return Put(key, operation.value)
        return Delete(key)

    async def list(self, prefix: str = "") -> list[str]:
        """Immediate children of ``prefix`` below this view. Raises StorageError."""
        return await self._storage.list(self._full(prefix))
