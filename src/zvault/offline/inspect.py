"""What can be said of a store without its keys.

What lives here: counting keys, reading the plaintext entries, naming what looks wrong. What never
does: a decryption, a verdict on content.
"""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from zvault.barrier.errors import SealConfigError, UnsupportedSealError
from zvault.barrier.family import detect_family
from zvault.barrier.paths import (
    KEYRING,
    OLD_BARRIER_INIT,
    PLAINTEXT_KEYS,
    SEAL_CONFIG,
    STORED_KEYS,
)
from zvault.barrier.record import OVERHEAD, VERSION_1, VERSION_2, record_term
from zvault.barrier.seal import SealConfig
from zvault.barrier.unseal import read_seal_config
from zvault.records.mounts import AUTH, MOUNTS, TABLE_KEYS
from zvault.storage.api import Storage
from zvault.storage.errors import CorruptEntryError
from zvault.storage.keys import MIGRATION_KEY, is_leftover_name, is_skipped_by_copy
from zvault.storage.walk import walk
from zvault.storage.window import ordered_map

MAX_NAMED = 100
_PARALLEL = 32
_SPLIT_ROOMS = ("core", "sys")
"""Rooms whose second part is a word and no uuid."""
_TABLES = tuple(TABLE_KEYS[table][0] for table in (MOUNTS, AUTH))
"""Mount tables without which a server starts with fresh, empty ones."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A key, or the store (""), and what is odd about it."""

    key: str
    problem: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of ``zvault store inspect``."""

    store: str
    is_initialized: bool
    family: str
    seal: SealConfig | None
    seal_problem: str
    entries: int
    bytes: int
    by_prefix: dict[str, int]
    terms: dict[int, int]
    """Term in the records' headers (not authenticated) → how many records."""
    version_1_records: int
    skipped: int
    suspicions: tuple[Suspicion, ...]
    suspicions_count: int

    def to_json(self) -> dict[str, Any]:
        """The documented shape of ``zvault store inspect --json``."""
        seal = self.seal
        return {
            "store": self.store,
            "initialized": self.is_initialized,
            "family": self.family,
            "seal": None
            if seal is None
            else {
                "type": seal.type,
                "shares": seal.secret_shares,
                "threshold": seal.secret_threshold,
                "stored_shares": seal.stored_shares,
            },
            "seal_problem": self.seal_problem,
            "entries": self.entries,
            "bytes": self.bytes,
            "by_prefix": self.by_prefix,
            "terms": {str(term): count for term, count in sorted(self.terms.items())},
            "version_1_records": self.version_1_records,
            "skipped": self.skipped,
            "suspicions_count": self.suspicions_count,
            "suspicions": [{"key": item.key, "problem": item.problem} for item in self.suspicions],
        }


class _Count:
    """Running totals."""

    def __init__(self) -> None:
        self.entries = self.bytes = self.skipped = self.version_1 = 0
        self.by_prefix: Counter[str] = Counter()
        self.terms: Counter[int] = Counter()
        self.suspicions: list[Suspicion] = []
        self.suspicions_count = 0
        self.seen: set[str] = set()

    def suspect(self, key: str, problem: str) -> None:
        self.suspicions_count += 1
        if len(self.suspicions) < MAX_NAMED:
            self.suspicions.append(Suspicion(key, problem))

    def take(self, key: str, value: bytes | CorruptEntryError | None) -> None:
        if value is None:
            self.suspect(key, "listed, but no entry (stray or empty file, or just deleted)")
            return
        self.entries += 1
        self.by_prefix[_prefix(key)] += 1
        self.skipped += is_skipped_by_copy(key)
        self._see(key)
        if is_leftover_name(key):
            self.suspect(key, "looks like the half-written file of a killed server")
        elif isinstance(value, CorruptEntryError):
            self.suspect(key, value.cause)
        elif key not in PLAINTEXT_KEYS and not is_skipped_by_copy(key):
            self._take_record(key, value)
        if not isinstance(value, CorruptEntryError):
            self.bytes += len(value)

    def _take_record(self, key: str, record: bytes) -> None:
        if len(record) < OVERHEAD or record[4] not in (VERSION_1, VERSION_2):
            self.suspect(key, "no barrier record")
            return
        if key != KEYRING:
            self.terms[record_term(record)] += 1
        self.version_1 += record[4] == VERSION_1

    def _see(self, key: str) -> None:
        """Remember what is odd when absent; one entry of a mount table stands for its table."""
        if key in PLAINTEXT_KEYS or key in (KEYRING, OLD_BARRIER_INIT):
            self.seen.add(key)
        self.seen.update(table for table in _TABLES if key == table or key.startswith(table + "/"))


def _prefix(key: str) -> str:
    """``core``, ``sys/token``, ``logical/<uuid>`` …: what entries are counted under."""
    parts = key.split("/")
    if parts[0] in _SPLIT_ROOMS or len(parts) < 2:
        return "/".join(parts[:2]) if parts[0] == "sys" and len(parts) > 2 else parts[0]
    return "/".join(parts[:2])


async def inspect_store(storage: Storage) -> Inspection:
    """Read every entry and say what the store is. Raises StorageError."""
    count = _Count()

    async def read(key: str) -> tuple[str, bytes | CorruptEntryError | None]:
        try:
            return key, await storage.get(key)
        except CorruptEntryError as error:
            return key, error

    keys: AsyncIterator[str] = walk(storage)
    async with contextlib.aclosing(ordered_map(keys, read, _PARALLEL)) as results:
        async for key, value in results:
            count.take(key, value)
    is_initialized = bool(count.seen & {KEYRING, OLD_BARRIER_INIT})
    seal, seal_problem = await _seal(storage, count)
    _suspect_core(count, is_initialized)
    return Inspection(
        store=storage.url,
        is_initialized=is_initialized,
        family=await _family(storage),
        seal=seal,
        seal_problem=seal_problem,
        entries=count.entries,
        bytes=count.bytes,
        by_prefix=dict(sorted(count.by_prefix.items())),
        terms=dict(count.terms),
        version_1_records=count.version_1,
        skipped=count.skipped,
        suspicions=tuple(count.suspicions),
        suspicions_count=count.suspicions_count,
    )


async def _seal(storage: Storage, count: _Count) -> tuple[SealConfig | None, str]:
    if SEAL_CONFIG not in count.seen:
        return None, "there is no core/seal-config"
    try:
        return await read_seal_config(storage), ""
    except CorruptEntryError as error:
        return None, error.cause
    except UnsupportedSealError as error:
        return None, error.message
    except SealConfigError as error:
        count.suspect(SEAL_CONFIG, error.message)
        return None, error.message


async def _family(storage: Storage) -> str:
    try:
        return await detect_family(storage)
    except CorruptEntryError:
        return "unknown"


def _suspect_core(count: _Count, is_initialized: bool) -> None:
    if not is_initialized:
        if count.entries:
            count.suspect("", "there are entries, but no core/keyring: nothing decrypts")
        return
    for key in (SEAL_CONFIG, STORED_KEYS, *_TABLES):
        if key not in count.seen:
            count.suspect(key, "missing")
    if MIGRATION_KEY in count.seen:
        count.suspect(MIGRATION_KEY, "a migration is marked: no server starts on this store")
