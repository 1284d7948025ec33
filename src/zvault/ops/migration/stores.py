"""Stores by URL, for the steps: looked at, filled, compared, marked, emptied.

What lives here: the storage room's functions behind the Stores port, and what they remember of a
run: which entries were seen equal and which were decrypted. What never does: opening (the opener
comes from ``app/wiring.py``), a value decrypted (the prover does that, offline).
Invariants: every call opens the store and closes it again, so a file store's lock is held no longer
than one call and a server can start right after it. The memory is this process's alone: a run that
is resumed reads everything once more.
"""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from zvault.base import gotime
from zvault.base.clock import Clock
from zvault.base.errors import ZvaultError
from zvault.base.secret import Secret
from zvault.offline.known import Known
from zvault.ops.migration.errors import (
    ForeignMarkerError,
    MarkerNotKeptError,
    NotEmptyError,
    StoresDifferError,
)
from zvault.ops.migration.ports import Proof, StoreFacts, are_different_vaults
from zvault.storage.api import Delete, Put, Storage
from zvault.storage.compare import compare_stores, describe
from zvault.storage.copy import Progress, copy_store, sync_store
from zvault.storage.errors import StoreNotFoundError
from zvault.storage.keys import MIGRATION_KEY
from zvault.storage.remembered import Remembered
from zvault.storage.walk import walk

_KEYRING = "core/keyring"
_STORED_KEYS = "core/hsm/barrier-unseal-keys"
_DELETE_BATCH = 256


class Opener(Protocol):
    """Opens the store behind a URL."""

    async def __call__(self, url: str, *, read_only: bool) -> Storage: ...


class Prover(Protocol):
    """Decrypts every entry of an open store."""

    async def __call__(
        self, storage: Storage, shares: Sequence[Secret], *, still: bool, known: Known
    ) -> Proof:
        """What is ``known`` and has not moved was decrypted before; what is decrypted is noted."""
        ...


@dataclass(frozen=True, slots=True)
class OpenedStores:
    """The Stores port over real storage."""

    opener: Opener
    probe: Callable[[Storage], Awaitable[None]]
    probe_folder: str
    """Where a probe lies; what a killed one left there does not make a store a store."""
    prover: Prover
    share_checker: Callable[[Storage, Sequence[Secret]], Awaitable[None]]
    measure: Callable[[Storage], Awaitable[int]]
    remove_place: Callable[[str], Awaitable[None]]
    """Drops what an emptied store leaves (a folder); nothing for a bucket."""
    on_progress: Callable[[Progress], None]
    clock: Clock
    _seen: dict[tuple[str, str], Remembered] = field(default_factory=dict)
    """Of source and destination: what was seen equal."""
    _known: dict[str, Known] = field(default_factory=dict)
    """Of a store: what was decrypted."""

    async def look(self, url: str) -> StoreFacts:
        """See Stores. Any trouble is ``reachable=False`` with its sentence."""
        try:
            async with self._open(url, read_only=True) as storage:
                return await self._look(storage, url)
        except StoreNotFoundError as error:
            return StoreFacts(url, reachable=True, empty=True, reason=error.message)
        except ZvaultError as error:
            return StoreFacts(url, reachable=False, reason=error.message)

    async def size(self, url: str) -> int:
        """See Stores."""
        async with self._open(url, read_only=True) as storage:
            return await self.measure(storage)

    async def check_access(self, url: str) -> None:
        """See Stores."""
        async with self._open(url, read_only=False) as storage:
            left = [self.probe_folder + name for name in await storage.list(self.probe_folder)]
            await storage.apply([Delete(key) for key in left])
            await self.probe(storage)

    async def copy(self, source: str, destination: str) -> dict[str, Any]:
        """See Stores. What a killed copy left is compared, not believed."""
        async with (
            self._open(source, read_only=True) as here,
            self._open(destination, read_only=False) as there,
        ):
            if await self._is_empty(there):
                copied = await copy_store(
                    here,
                    there,
                    on_progress=self.on_progress,
                    source_may_change=True,
                    remembered=self._remembered(source, destination),
                    clock=self.clock,
                )
                return {
                    "entries": copied.entries,
                    "read": copied.entries,
                    "bytes": copied.bytes,
                    "proof": copied.proof,
                }
            return await self._sync(here, there, self._remembered(source, destination))

    async def sync(self, source: str, destination: str) -> dict[str, Any]:
        """See Stores."""
        async with (
            self._open(source, read_only=True) as here,
            self._open(destination, read_only=False) as there,
        ):
            return await self._sync(here, there, self._remembered(source, destination))

    async def compare(self, source: str, destination: str) -> dict[str, Any]:
        """See Stores."""
        async with (
            self._open(source, read_only=True) as here,
            self._open(destination, read_only=True) as there,
        ):
            remembered = self._remembered(source, destination)
            found = await compare_stores(here, there, remembered=remembered)
        if not found.equal:
            raise StoresDifferError(
                f"{destination} is not what {source} is: {describe(found)}",
                hint="something else writes to one of them",
            )
        return {
            "compared": found.compared,
            "read": found.compared - found.known,
            "skipped": found.skipped,
            "proof": found.proof,
        }

    async def prove(self, url: str, shares: Sequence[Secret], *, still: bool) -> Proof:
        """See Stores."""
        known = self._known.setdefault(url, Known(self.clock))
        async with self._open(url, read_only=True) as storage:
            return await self.prover(storage, shares, still=still, known=known)

    def is_known(self, url: str) -> bool:
        """See Stores."""
        return url in self._known

    async def check_shares(self, url: str, shares: Sequence[Secret]) -> None:
        """See Stores."""
        async with self._open(url, read_only=True) as storage:
            await self.share_checker(storage, shares)

    async def put_marker(self, url: str, run: str) -> None:
        """See Stores. Raises ForeignMarkerError instead of replacing somebody else's."""
        start = gotime.format_time(self.clock.now_ns())
        async with self._open(url, read_only=False) as storage:
            present = await _marker(storage)
            if present is not None and present != run:
                raise ForeignMarkerError(
                    f"{url} holds core/migration of another migration",
                    hint="zvault store inspect shows it",
                )
            # Vault writes {"start": time}; the run's id beside it tells ours from others'.
            value = orjson.dumps({"start": start, "run": run})
            await storage.apply([Put(MIGRATION_KEY, value)])
            await _require_marker(storage, run)

    async def remove_marker(self, url: str, run: str) -> None:
        """See Stores. Somebody else's stays."""
        async with self._open(url, read_only=False) as storage:
            if await _marker(storage) == run:
                await storage.apply([Delete(MIGRATION_KEY)])
                await _require_marker(storage, None)

    async def clear(self, url: str) -> None:
        """See Stores.

        The keyring goes first, so that half of a store is no Vault; the marker goes last, so that
        half of a retired store is still known as ours.
        """
        try:
            async with self._open(url, read_only=False) as storage:
                keys = [key async for key in walk(storage)]
                middle = [key for key in keys if key not in (_KEYRING, MIGRATION_KEY)]
                ordered = [_KEYRING, *middle, MIGRATION_KEY]
                for start in range(0, len(ordered), _DELETE_BATCH):
                    batch = ordered[start : start + _DELETE_BATCH]
                    await storage.apply([Delete(key) for key in batch])
        except StoreNotFoundError:
            return
        await self.remove_place(url)

    def _remembered(self, source: str, destination: str) -> Remembered:
        return self._seen.setdefault((source, destination), Remembered(self.clock))

    async def _sync(self, here: Storage, there: Storage, remembered: Remembered) -> dict[str, Any]:
        # It deletes what the source does not have: never all of somebody else's Vault.
        if are_different_vaults(await _fingerprint(here), await _fingerprint(there)):
            raise NotEmptyError(
                f"{there.url} holds another Vault by now", hint="name an empty place"
            )
        done = await sync_store(
            here, there, on_progress=self.on_progress, remembered=remembered, clock=self.clock
        )
        return {
            "entries": done.entries,
            "read": done.entries + done.deleted - done.known,
            "written": done.written,
            "deleted": done.deleted,
            "proof": done.proof,
        }

    async def _look(self, storage: Storage, url: str) -> StoreFacts:
        return StoreFacts(
            url=url,
            reachable=True,
            empty=await self._is_empty(storage),
            initialized=await storage.get(_KEYRING) is not None,
            marker=await _marker(storage),
            fingerprint=await _fingerprint(storage),
        )

    async def _is_empty(self, storage: Storage) -> bool:
        return not set(await storage.list("")) - {self.probe_folder}

    @contextlib.asynccontextmanager
    async def _open(self, url: str, *, read_only: bool) -> AsyncIterator[Storage]:
        storage = await self.opener(url, read_only=read_only)
        try:
            yield storage
        finally:
            await storage.close()


async def _fingerprint(storage: Storage) -> str:
    stored = await storage.get(_STORED_KEYS)
    return "" if stored is None else hashlib.sha256(stored).hexdigest()


async def _require_marker(storage: Storage, wanted: str | None) -> None:
    """Read it back: a server that starts on a source thought marked writes what is lost."""
    if await _marker(storage) != wanted:
        raise MarkerNotKeptError(
            f"{storage.url} did not {'remove' if wanted is None else 'keep'} core/migration",
            hint="does the provider keep what it acknowledges? zvault store inspect shows it",
        )


async def _marker(storage: Storage) -> str | None:
    """The run id inside core/migration, "" when it is not ours, None when there is none."""
    value = await storage.get(MIGRATION_KEY)
    if value is None:
        return None
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError:
        return ""
    run = body.get("run") if isinstance(body, dict) else None
    return run if isinstance(run, str) else ""
