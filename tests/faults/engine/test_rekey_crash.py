"""A rekey that dies at any of its writes: the old shares open the store or the new ones do.

Who got no answer has the old shares; who got one has the new ones. That must hold for a process
that is killed, for a disk that loses everything not synced, and for storage that fails and lives.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.storage.test_file_crash import MODES, die, lay_folders
from tests.support.cut_storage import CutStorage
from tests.support.faulty_storage import CrashingFileSystem, Killed
from tests.support.running import Running, fresh, restarted
from tests.support.shareholders import as_shares, rekey, verify
from zvault.barrier.barrier import Barrier
from zvault.barrier.errors import WrongUnsealKeyError
from zvault.barrier.paths import REKEY_UNDO, SEAL_CONFIG, STORED_KEYS
from zvault.barrier.rekey import settle
from zvault.barrier.seal import SealConfig
from zvault.barrier.unseal import (
    combine_shares,
    initialize_store,
    read_seal_config,
    unseal_with_key,
)
from zvault.base.clock import ManualClock
from zvault.base.errors import ZvaultError
from zvault.base.secret import Secret
from zvault.engine.errors import EngineError
from zvault.storage.api import Delete, Operation, Put, Storage
from zvault.storage.errors import StorageError
from zvault.storage.file import FileStorage
from zvault.storage.file_writing import LogOptions
from zvault.storage.inmem import InMemStorage

NEW = Secret(b"n" * 32)
ROOT = Secret(b"r" * 32)


async def opens_offline(storage: Storage, shares: Sequence[bytes]) -> bool:
    """A reader that changes nothing gets to the data with these shares."""
    config = await read_seal_config(storage)
    try:
        key = combine_shares([Secret(s) for s in shares[: config.secret_threshold]], config)
        barrier = await unseal_with_key(storage, key)
    except (WrongUnsealKeyError, ZvaultError):
        return False
    assert await barrier.get("core/mounts") is not None
    return True


async def check(server: Running, storage: Storage, right: list[bytes], wrong: list[bytes]) -> None:
    """``right`` opens the store, without a server and with one; ``wrong`` does not."""
    assert await opens_offline(storage, right)
    assert not await opens_offline(storage, wrong)
    server.keys = right
    again = await restarted(server, storage)
    assert await storage.get(REKEY_UNDO) is None
    assert await again.alive(again.root)
    await again.write("sys/rotate")
    await again.core.seal()
    assert await opens_offline(storage, right)
    assert not await opens_offline(storage, wrong)


@pytest.mark.parametrize("verified", [False, True])
async def test_killed_after_any_write_one_quorum_opens_the_store(verified: bool) -> None:
    for cut in range(12):
        storage = CutStorage(InMemStorage())
        async with fresh(storage, shares=3, threshold=2) as server:
            old = server.keys
            storage.left = storage.done + cut
            answered, new = False, [bytes([9]) * 33] * 4
            with contextlib.suppress(EngineError, Killed):
                answer = await rekey(server, 5, 4, verified=verified)
                new = as_shares(answer)
                if verified:
                    await verify(server, answer, 4)
                answered = True
            right, wrong = (new, old) if answered else (old, new)
            await check(server, storage.inner, right, wrong)
    assert answered, "the last cut lies behind the rekey"


class FailingStorage:
    """``inner`` whose writes number ``first`` up to ``last`` raise StorageError.

    ``after_effect``: they happen all the same, as when an answer is lost on the way.
    """

    def __init__(self, inner: Storage, *, after_effect: bool) -> None:
        self.inner = inner
        self.after_effect = after_effect
        self.calls = 0
        self.failing = range(0)

    @property
    def url(self) -> str:
        return self.inner.url

    async def get(self, key: str) -> bytes | None:
        return await self.inner.get(key)

    async def list(self, prefix: str) -> list[str]:
        return await self.inner.list(prefix)

    async def close(self) -> None:
        await self.inner.close()

    async def apply(self, operations: Sequence[Operation]) -> None:
        self.calls += 1
        failing = self.calls in self.failing
        if failing and not self.after_effect:
            raise StorageError("it fails", provider="test", store="x")
        await self.inner.apply(operations)
        if failing:
            raise StorageError("its answer is lost", provider="test", store="x")


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("length", [1, 2, 3, 4])
async def test_storage_that_fails_for_a_while_never_parts_keyring_and_root_key(
    after_effect: bool, length: int
) -> None:
    for first in range(1, 5):
        storage = FailingStorage(InMemStorage(), after_effect=after_effect)
        async with fresh(storage, shares=3, threshold=2) as server:
            old = server.keys
            storage.failing = range(storage.calls + first, storage.calls + first + length)
            new, answered = [bytes([9]) * 33] * 3, False
            with contextlib.suppress(EngineError):
                new = as_shares(await rekey(server, 5, 3))
                answered = True
            storage.failing = range(0)
            right, wrong = (new, old) if answered else (old, new)
            assert await opens_offline(storage.inner, right), (first, length)
            # The server lives on and writes its keyring again.
            await server.write("sys/rotate")
            await server.write("sys/rotate/config", max_operations=2_000_000)
            await check(server, storage.inner, right, wrong)


async def power_cut_at(
    root: Path, rest: Path, at: int, log: LogOptions | None, *, after_effect: bool
) -> tuple[bool, int]:
    """A rekey on files, the power gone at effect ``at``; was it acknowledged, after how many."""
    store = FileStorage.open(root)
    barrier, key = await open_barrier(store)
    await barrier.apply([Put("core/mounts", b"mounts")])
    await store.close()
    lay_folders(root, log)
    files = CrashingFileSystem(root, at, after_effect=after_effect)
    store = FileStorage.open(root, files=files, log=log)
    barrier = await unseal_with_key(store, key)
    acknowledged = False
    with contextlib.suppress(Killed):
        await barrier.rekey(ROOT, SealConfig(1, 1), NEW)
        acknowledged = True
    die(store)
    if at:
        files.power_cut(rest)
    left = FileStorage.open(rest if at else root, log=log)
    opening = await who_opens(left, key)
    assert opening == [NEW] if acknowledged else opening in ([key], [NEW])
    if await left.get(REKEY_UNDO) is not None:
        assert opening == [key], "until the record is gone the old key is in force"
    await settle(left)
    assert await left.get(REKEY_UNDO) is None
    assert await who_opens(left, key) == opening
    await left.close()
    return acknowledged, files.effects


async def who_opens(storage: Storage, old: Secret) -> list[Secret]:
    found = []
    for key in (old, NEW):
        with contextlib.suppress(WrongUnsealKeyError):
            barrier = await unseal_with_key(storage, key)
            assert await barrier.get("core/mounts") == b"mounts"
            found.append(key)
    return found


@pytest.mark.parametrize("log", MODES)
@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_power_cut_at_any_effect_leaves_one_key_that_opens(
    tmp_path: Path, after_effect: bool, log: LogOptions | None
) -> None:
    (tmp_path / "all").mkdir()
    acknowledged, total = await power_cut_at(tmp_path / "all", tmp_path, 0, log, after_effect=False)
    assert acknowledged
    assert total > (8 if log else 15)
    for at in range(1, total + 1):
        root, rest = tmp_path / f"root-{at}", tmp_path / f"rest-{at}"
        root.mkdir()
        await power_cut_at(root, rest, at, log, after_effect=after_effect)


async def open_barrier(storage: Storage) -> tuple[Barrier, Secret]:
    made = await initialize_store(
        storage, 1, 1, family="vault", random_bytes=os.urandom, clock=ManualClock()
    )
    return made.barrier, made.shares[0]


async def test_a_record_is_not_put_back_over_what_another_server_has_written() -> None:
    storage = CutStorage(InMemStorage())
    barrier, key = await open_barrier(storage)
    storage.left = storage.done + 1  # the record, nothing else
    with contextlib.suppress(Killed):
        await barrier.rekey(ROOT, SealConfig(1, 1), NEW)
    inner = storage.inner
    assert await inner.get(REKEY_UNDO) is not None
    # Another server opens it with the old shares and rotates; it knows of no record.
    other = await unseal_with_key(inner, key)
    await other.rotate()
    await other.apply([Put("x", b"under term 2")])
    assert await settle(inner) is False
    assert await inner.get(REKEY_UNDO) is None
    assert await (await unseal_with_key(inner, key)).get("x") == b"under term 2"


async def test_a_record_of_a_later_version_stops_everything_that_would_open_the_store() -> None:
    storage = InMemStorage()
    _, key = await open_barrier(storage)
    for record in (b'{"version":2}', b"{}", b"\xff", b'{"version":1,"before":{"a":"!"}}'):
        await storage.apply([Put(REKEY_UNDO, record)])
        with pytest.raises(ZvaultError, match="core/zvault-rekey does not open"):
            await settle(storage)
        with pytest.raises(ZvaultError, match="core/zvault-rekey does not open"):
            await unseal_with_key(storage, key)
    assert await storage.get(STORED_KEYS) is not None
    assert await storage.get(SEAL_CONFIG) is not None
    await storage.apply([Delete(REKEY_UNDO)])
    await unseal_with_key(storage, key)


class Steps(InMemStorage):
    """Remembers which keys each ``apply`` touched."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[list[str]] = []

    async def apply(self, operations: Sequence[Operation]) -> None:
        self.steps.append([operation.key for operation in operations])
        await super().apply(operations)


async def test_the_way_back_is_durable_before_the_new_entries_and_goes_after_them() -> None:
    """Of one step any part may survive a power cut."""
    storage = Steps()
    result = await initialize_store(
        storage, 1, 1, family="vault", random_bytes=os.urandom, clock=ManualClock()
    )
    storage.steps.clear()
    await result.barrier.rekey(ROOT, SealConfig(1, 1, stored_shares=1), NEW)
    first, entries, last = storage.steps
    assert first == last == [REKEY_UNDO]
    assert {STORED_KEYS, SEAL_CONFIG} < set(entries)
    assert REKEY_UNDO not in entries
