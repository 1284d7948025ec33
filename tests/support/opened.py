"""Golden and fresh stores with their barrier open, and mounts on them; no engine core."""

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.golden import Golden, unpack
from zvault.barrier.barrier import Barrier
from zvault.barrier.unseal import (
    combine_shares,
    initialize_store,
    read_seal_config,
    unseal_with_key,
)
from zvault.barrier.view import View
from zvault.base.clock import Clock, ManualClock
from zvault.base.gotime import SECOND_NS
from zvault.base.secret import Secret
from zvault.engine.api import MountContext, Operation, Request
from zvault.engine.identity.lockout import Lockout
from zvault.records.mounts import AUTH, MOUNTS, TABLE_KEYS, MountEntry, decode_table
from zvault.records.tokens import TokenEntry
from zvault.storage.api import Storage
from zvault.storage.file import FileStorage
from zvault.storage.inmem import InMemStorage

DAY_OF_THE_GOLDEN_STORES_NS = 1_795_305_600 * SECOND_NS
"""2026-11-22T00:00:00Z."""
HOUR_NS = 3600 * SECOND_NS
ROOT = TokenEntry(
    id="hvs.root", accessor="root-accessor", policies=("root",), cubbyhole_id="drawer"
)


async def open_golden(name: str, place: Path, clock: Clock | None = None) -> tuple[Golden, Barrier]:
    """A fresh copy of a file store, unsealed with its shares."""
    golden = unpack(name, place)
    storage = FileStorage.open(golden.data)
    config = await read_seal_config(storage)
    shares = [Secret(base64.b64decode(text)) for text in golden.expected["shares"]]
    key = combine_shares(shares[: config.secret_threshold], config)
    return golden, await unseal_with_key(storage, key, clock=clock)


async def fresh_barrier(
    storage: Storage | None = None, clock: Clock | None = None, family: str = "vault"
) -> Barrier:
    """A store of our own, open; in memory unless told otherwise."""
    result = await initialize_store(
        storage or InMemStorage(),
        1,
        1,
        family=family,
        random_bytes=os.urandom,
        clock=clock or ManualClock(),
    )
    return result.barrier


async def mounted(barrier: Barrier, path: str) -> MountEntry:
    """The mount entry at ``path`` (``auth/approle/`` for auth methods)."""
    kind = AUTH if path.startswith("auth/") else MOUNTS
    for key in TABLE_KEYS[kind]:
        stored = await barrier.get(key)
        for entry in decode_table(stored).entries if stored is not None else ():
            if entry.path == path.removeprefix("auth/"):
                return entry
    raise LookupError(path)


def context_for(
    barrier: Barrier,
    entry: MountEntry,
    clock: Clock,
    random_bytes: Callable[[int], bytes] = os.urandom,
    default_ttl_ns: int = 768 * HOUR_NS,
    max_ttl_ns: int = 768 * HOUR_NS,
) -> MountContext:
    """What the core would give the backend of that mount."""
    return MountContext(
        entry=entry,
        view=View(barrier, entry.view_prefix),
        clock=clock,
        random_bytes=random_bytes,
        default_ttl_ns=lambda: default_ttl_ns,
        max_ttl_ns=lambda: max_ttl_ns,
        family=barrier.family,
        lockout=Lockout(clock),
    )


def request(
    operation: Operation | str,
    path: str,
    data: dict[str, Any] | None = None,
    token: TokenEntry | None = ROOT,
    **more: Any,
) -> Request:
    """A request as the pipeline hands it to a backend; ``path`` is below the mount."""
    return Request(
        id="11111111-2222-3333-4444-555555555555",
        operation=Operation(operation),
        path=path,
        data=data if data is not None else {},
        relative_path=path,
        token=token,
        **more,
    )
