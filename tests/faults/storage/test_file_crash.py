"""The file backend killed at every effect, with and without the loss of everything not synced."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.support.faulty_storage import CrashingFileSystem, Killed
from zvault.base.errors import ZvaultError
from zvault.storage.api import Delete, Operation, Put
from zvault.storage.file import FileStorage
from zvault.storage.file_layout import OUR_NAMES
from zvault.storage.file_writing import LogOptions
from zvault.storage.walk import walk

START: list[list[Operation]] = [
    [Put("core/keyring", b"old keyring"), Put("sys/token/id/a", b"token a")],
    [Put("logical/1/x/y", b"old y"), Put("logical/1/x", b"old x")],
]
SCENARIO: list[list[Operation]] = [
    [Put("sys/token/id/b", b"token b"), Put("sys/expire/id/auth/b", b"lease b")],
    [Put("core/keyring", b"new keyring"), Put("logical/1/x/y", b"new y" * 5000)],
    [Delete("logical/1/x/y"), Put("logical/1/x/z/deep/er", b"z")],
    [Delete("logical/1/x/z/deep/er"), Delete("logical/1/x"), Delete("never/was")],
    [Put("logical/1/x", b"again"), Put("logical/1/x", b"and again")],
]
KEYS = sorted({op.key for ops in START + SCENARIO for op in ops})
State = dict[str, bytes]


def states() -> list[list[State]]:
    """Per apply of the scenario: the state before it and after each of its operations."""
    state: State = {}
    for operations in START:
        for operation in operations:
            _do(state, operation)
    result = []
    for operations in SCENARIO:
        steps = [dict(state)]
        for operation in operations:
            _do(state, operation)
            steps.append(dict(state))
        result.append(steps)
    return result


def _do(state: State, operation: Operation) -> None:
    if isinstance(operation, Put):
        state[operation.key] = operation.value
    else:
        state.pop(operation.key, None)


MODES = (None, LogOptions(segment_bytes=1 << 30), LogOptions(segment_bytes=1))
"""Without a log; with one; with one whose segments take turns at every commit."""


async def read(path: Path) -> State:
    store = FileStorage.open(path)
    try:
        found = {key: await store.get(key) for key in KEYS}
        listed = {key async for key in walk(store)}
    finally:
        await store.close()
    present = {key: value for key, value in found.items() if value is not None}
    assert set(present) == listed, "nothing but whole entries is listed"
    return present


async def prepare(path: Path) -> None:
    store = FileStorage.open(path, fsync=False)  # the model takes what is there for durable
    for operations in START:
        await store.apply(operations)
    await store.close()


async def run(path: Path, files: CrashingFileSystem, log: LogOptions | None = None) -> int:
    """Apply the scenario and close, until the kill; how many applies were acknowledged."""
    store = FileStorage.open(path, files=files, log=log)
    acknowledged = 0
    try:
        for operations in SCENARIO:
            await store.apply(operations)
            acknowledged += 1
        await store.close()
    except Killed:
        die(store)
    return acknowledged


def die(store: FileStorage) -> None:
    """What the kernel does for a dead process: the lock is let go of, nothing is cleaned up."""
    if store._writer is not None:
        store._writer.let_go()


async def count_effects(tmp_path: Path, log: LogOptions | None) -> int:
    await prepare(tmp_path / "count")
    lay_folders(tmp_path / "count", log)
    files = CrashingFileSystem(tmp_path / "count")
    assert await run(tmp_path / "count", files, log) == len(SCENARIO)
    return files.effects


def lay_folders(root: Path, log: LogOptions | None) -> None:
    """Opening makes them past the seam; the model must know them from the start."""
    (root / ".zvault-tmp").mkdir()
    if log is not None:
        (root / ".zvault-log").mkdir()


@pytest.mark.parametrize("log", MODES)
@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_kill_at_any_effect_leaves_a_prefix_of_whole_entries(
    tmp_path: Path, after_effect: bool, log: LogOptions | None
) -> None:
    total = await count_effects(tmp_path, log)
    assert total > 40
    for at in range(1, total + 1):
        root = tmp_path / f"kill-{at}"
        await prepare(root)
        lay_folders(root, log)
        files = CrashingFileSystem(root, at, after_effect=after_effect)
        acknowledged = await run(root, files, log)
        allowed = states()[acknowledged] if acknowledged < len(SCENARIO) else [states()[-1][-1]]
        assert await read(root) in allowed, f"effect {at}"
        assert not {child.name for child in root.iterdir()} & OUR_NAMES
        assert not (root / "core" / "_migration").exists()


@pytest.mark.parametrize("log", MODES)
@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_power_cut_at_any_effect_keeps_all_that_was_acknowledged(
    tmp_path: Path, after_effect: bool, log: LogOptions | None
) -> None:
    total = await count_effects(tmp_path, log)
    for at in range(1, total + 1):
        root, rest = tmp_path / f"cut-{at}", tmp_path / f"rest-{at}"
        await prepare(root)
        lay_folders(root, log)
        files = CrashingFileSystem(root, at, after_effect=after_effect)
        acknowledged = await run(root, files, log)
        files.power_cut(rest)
        steps = states()[acknowledged] if acknowledged < len(SCENARIO) else [states()[-1][-1]]
        found = await read(rest)
        for key in KEYS:  # each key by itself: the order inside one unfinished apply is not kept
            assert found.get(key) in [step.get(key) for step in steps], f"effect {at}, {key}"


@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_power_cut_in_the_middle_of_a_replay_is_replayed(
    tmp_path: Path, after_effect: bool
) -> None:
    """The log of the whole scenario, none of it in the tree."""
    root = tmp_path / "written"
    await prepare(root)
    lay_folders(root, LogOptions())
    files = CrashingFileSystem(root)
    store = FileStorage.open(root, files=files, log=LogOptions(segment_bytes=2048))
    for operations in SCENARIO:
        await store.apply(operations)
    die(store)
    lost = tmp_path / "lost"
    files.power_cut(lost)
    assert (lost / ".zvault-log" / "1").exists(), "both segments"
    total = 0
    while True:
        total += 1
        cut, rest = tmp_path / f"cut-{total}", tmp_path / f"rest-{total}"
        shutil.copytree(lost, cut)
        (cut / ".zvault-tmp").mkdir()
        crashing = CrashingFileSystem(cut, total, after_effect=after_effect)
        try:
            await FileStorage.open(cut, files=crashing).close()
            break
        except Killed:
            crashing.close()
        crashing.power_cut(rest)
        assert await read(rest) == states()[-1][-1], f"effect {total}"
    assert total > 20


async def test_a_disk_that_loses_what_was_not_synced_is_a_disk_that_loses(tmp_path: Path) -> None:
    """The model itself: without syncs nothing survives, or the tests above prove nothing."""
    root = tmp_path / "store"
    root.mkdir()
    (root / ".zvault-tmp").mkdir()

    class NoSync(CrashingFileSystem):
        def sync(self, paths: object) -> None:
            return

    files = NoSync(root)
    store = FileStorage.open(root, files=files)
    await store.apply([Put("a/b", b"1")])
    die(store)
    files.power_cut(tmp_path / "rest")
    assert await FileStorage.open(tmp_path / "rest", read_only=True).get("a/b") is None


async def test_callers_that_share_a_batch_are_told_the_truth_each(tmp_path: Path) -> None:
    """Ten callers at once, killed at each effect, then a power cut: every yes is on disk."""
    root = tmp_path / "count"
    root.mkdir()
    (root / ".zvault-tmp").mkdir()
    files = CrashingFileSystem(root)
    assert len(await _ten(root, files)) == 10
    for at in range(1, files.effects + 1, 3):
        root, rest = tmp_path / f"ten-{at}", tmp_path / f"ten-rest-{at}"
        root.mkdir()
        (root / ".zvault-tmp").mkdir()
        crashing = CrashingFileSystem(root, at)
        acknowledged = await _ten(root, crashing)
        crashing.power_cut(rest)
        store = FileStorage.open(rest, read_only=True)
        for caller in acknowledged:
            assert await store.get(f"t/{caller}/one") == b"1"
            assert await store.get(f"shared/{caller}") == b"2"


async def _ten(root: Path, files: CrashingFileSystem) -> list[int]:
    store = FileStorage.open(root, files=files)

    async def one(caller: int) -> int:
        await store.apply([Put(f"t/{caller}/one", b"1"), Put(f"shared/{caller}", b"2")])
        return caller

    results = await asyncio.gather(*(one(caller) for caller in range(10)), return_exceptions=True)
    die(store)
    assert all(isinstance(result, int | Killed) for result in results)
    return [result for result in results if isinstance(result, int)]


class _FullDisk(CrashingFileSystem):
    """Refuses the n-th new file for lack of space."""

    refuse = 0
    created = 0

    def create(self, path: str, content: bytes) -> None:
        self.created += 1
        if self.created == self.refuse:
            raise OSError(28, "No space left on device")
        super().create(path, content)


async def test_a_full_disk_fails_the_caller_it_hit_and_leaves_its_old_values(
    tmp_path: Path,
) -> None:
    root = tmp_path / "store"
    root.mkdir()
    (root / ".zvault-tmp").mkdir()
    files = _FullDisk(root)
    store = FileStorage.open(root, files=files)
    await store.apply([Put("a", b"old"), Put("b", b"old")])
    files.refuse = 4
    with pytest.raises(ZvaultError, match="No space left") as caught:
        await store.apply([Put("a", b"new"), Put("b", b"new")])
    assert caught.value.code == "storage-disk-full"
    assert (await store.get("a"), await store.get("b")) == (b"old", b"old")
    await store.apply([Put("a", b"newer")])
    assert await store.get("a") == b"newer"
    assert os.listdir(root / ".zvault-tmp") == []
    await store.close()


async def test_a_folder_that_cannot_be_synced_stops_the_store(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()
    (root / ".zvault-tmp").mkdir()

    class BadDisk(CrashingFileSystem):
        bad = False

        def sync(self, paths: object) -> None:
            assert isinstance(paths, list)
            if self.bad and not paths[0].startswith(f"{root}/.zvault-tmp"):
                raise OSError(5, "Input/output error")
            super().sync(paths)

    files = BadDisk(root)
    store = FileStorage.open(root, files=files)
    await store.apply([Put("a", b"1")])
    for bad in (True, True, False):  # a disk that is well again has forgotten what it lost
        files.bad = bad
        with pytest.raises(ZvaultError) as caught:
            await store.apply([Put("a", b"2")])
        assert caught.value.code == "storage-broken"
    await store.close()
