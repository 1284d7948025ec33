"""Locks by name: one writer a key, no lock object left behind.

What lives here: KeyLocks. What never does: what a key stands for.
Invariant: taking a free lock never suspends, so a request that waits for nobody runs straight
through; a lock nobody holds or waits for is forgotten.
"""

import asyncio
from types import TracebackType


class _Entry:
    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


class Hold:
    """``async with locks.hold(key)``: the lock of one key for the length of a block."""

    __slots__ = ("_entries", "_entry", "_key")

    def __init__(self, entries: dict[str, _Entry], key: str) -> None:
        self._entries = entries
        self._key = key
        self._entry: _Entry | None = None

    async def __aenter__(self) -> None:
        entry = self._entries.get(self._key)
        if entry is None:
            entry = self._entries[self._key] = _Entry()
        entry.users += 1
        try:
            await entry.lock.acquire()
        except BaseException:
            self._leave(entry)
            raise
        self._entry = entry

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        entry, self._entry = self._entry, None
        if entry is not None:
            entry.lock.release()
            self._leave(entry)

    def _leave(self, entry: _Entry) -> None:
        entry.users -= 1
        if not entry.users:
            self._entries.pop(self._key, None)


class KeyLocks:
    """A family of locks, made on demand."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def hold(self, key: str) -> Hold:
        """The lock of ``key`` as an async context manager; not reentrant."""
        return Hold(self._entries, key)

    def __len__(self) -> int:
        """How many keys are held or waited for."""
        return len(self._entries)
