"""What the log holds and the tree does not hold yet: everybody who reads finds it all the same."""

import asyncio
import errno
import random
from pathlib import Path

import pytest

from tests.support.faulty_storage import CrashingFileSystem, Killed
from zvault.storage.api import Delete, Operation, Put
from zvault.storage.errors import BrokenStoreError, DamagedLogError, DiskFullError, StorageError
from zvault.storage.file import FileStorage
from zvault.storage.file_log_format import BLOCK_BYTES
from zvault.storage.file_system import PosixFileSystem
from zvault.storage.file_writing import LogOptions
from zvault.storage.listing import Stamped
from zvault.storage.walk import walk

NAMES = [f"{folder}{name}" for folder in ("", "a/", "a/b/", "c/d/", "_e/") for name in "xyz_"]
SMALL = LogOptions(segment_bytes=1 << 12)


def entries(root: Path) -> dict[str, bytes]:
    """The files of the tree, as a program finds them that knows nothing of a log."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".zvault" not in str(path) and path.name != "_migration"
    }


async def shown(store: FileStorage) -> dict[str, bytes]:
    """Every entry, by walking, and each of them by name."""
    found = {key: await store.get(key) for key in NAMES}
    present = {key: value for key, value in found.items() if value is not None}
    assert [key async for key in walk(store)] == sorted(present)
    assert sorted(await store.survey(())) == sorted(present)
    return present


def change(rng: random.Random, state: dict[str, bytes]) -> list[Operation]:
    """One to four operations, done to ``state`` too."""
    operations: list[Operation] = []
    for key in rng.choices(NAMES, k=rng.randrange(1, 5)):
        if rng.random() < 0.6:
            state[key] = rng.randbytes(rng.choice((0, 5, 700, 5_000)))
            operations.append(Put(key, state[key]))
        else:
            state.pop(key, None)
            operations.append(Delete(key))
    return operations


@pytest.mark.parametrize("fsync", [True, False])
@pytest.mark.parametrize("seed", range(6))
async def test_writer_and_reader_show_what_is_acknowledged_and_a_closed_tree_needs_neither(
    tmp_path: Path, seed: int, fsync: bool
) -> None:
    rng, state = random.Random(seed), dict[str, bytes]()
    root = tmp_path / "d"
    writer = FileStorage.open(root, log=SMALL, fsync=fsync, cache_bytes=rng.choice((0, 1 << 16)))
    await writer.apply([Put("core/keyring", b"k"), Delete("core/keyring")])
    readers = [FileStorage.open(root, read_only=True)]
    for number in range(60):
        await writer.apply(change(rng, state))
        if rng.random() < 0.1:
            readers.append(FileStorage.open(root, read_only=True))
        for store in (writer, *(readers if number % 3 else readers[:1])):
            assert await shown(store) == state, number
    await writer.close()
    for store in (*readers, FileStorage.open(root, read_only=True)):
        assert await shown(store) == state
    assert len(entries(root)) == len(state)


@pytest.mark.parametrize("seed", range(3))
async def test_a_server_that_is_held_between_two_effects_is_read_as_if_it_had_done_both_or_none(
    tmp_path: Path, seed: int
) -> None:
    """As a backup reads while the process is stopped."""
    for at in range(1 + seed, 90, 3):
        rng, state = random.Random(seed), dict[str, bytes]()
        root = tmp_path / f"{at}"
        root.mkdir()
        for name in (".zvault-tmp", ".zvault-log"):
            (root / name).mkdir()
        files = CrashingFileSystem(root, at)
        writer = FileStorage.open(root, log=SMALL, files=files)
        reader = FileStorage.open(root, read_only=True)
        before = dict(state)
        try:
            for _ in range(30):
                before = dict(state)
                await writer.apply(change(rng, state))
        except Killed:
            seen = await shown(reader)
            assert seen in (before, state), at
            assert await shown(reader) == seen
        assert writer._writer is not None
        writer._writer.let_go()


async def test_what_is_written_over_before_its_segment_is_left_never_reaches_the_tree(
    tmp_path: Path,
) -> None:
    root = tmp_path / "d"
    created = []

    class Counting(PosixFileSystem):
        def create(self, path: str, content: bytes) -> None:
            created.append(path)
            super().create(path, content)

    root.mkdir()
    store = FileStorage.open(root, log=LogOptions(), files=Counting(str(root)))
    for number in range(100):
        await store.apply([Put("often", b"%d" % number), Put(f"once/{number}", b"1")])
        await store.apply([Delete(f"once/{number}")])
    assert entries(root) == {}
    await store.close()
    assert list(entries(root)) == ["_often"]
    assert len([path for path in created if path.endswith("/_often")]) == 1
    assert not (root / "once").exists()


async def test_under_writes_that_never_pause_an_entry_gets_into_the_tree_all_the_same(
    tmp_path: Path,
) -> None:
    root = tmp_path / "d"
    store = FileStorage.open(root, log=LogOptions(quiet_seconds=0.2))
    await store.apply([Put("first", b"1")])
    while "_first" not in entries(root):
        await store.apply([Put("again", b"2")])
        assert (root / "core" / "_migration").exists() or "_first" in entries(root)
        await asyncio.sleep(0.001)
    await store.close()


async def test_an_entry_on_its_way_has_no_stamp_and_its_old_one_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zvault.storage.file_survey._AGE_NS", -(10**12))
    root = tmp_path / "d"
    store = FileStorage.open(root)
    await store.apply([Put("a", b"1")])
    await store.close()
    writer = FileStorage.open(root, log=LogOptions())
    reader = FileStorage.open(root, read_only=True)
    assert isinstance(reader, Stamped)
    first = reader.stamp("a")
    assert first is not None
    await writer.apply([Put("a", b"2")])
    assert reader.stamp("a") is None
    assert (await reader.survey(()))["a"].stamp is None
    assert await reader.get("a") == b"2"
    await writer.close()
    assert reader.stamp("a") not in (None, first)


async def test_damage_in_a_living_servers_log_is_an_error_to_who_reads_it(tmp_path: Path) -> None:
    root = tmp_path / "d"
    store = FileStorage.open(root, log=LogOptions())
    for number in range(3):
        await store.apply([Put("a", b"%d" % number)])
    with (root / ".zvault-log" / "0").open("r+b") as file:
        file.seek(BLOCK_BYTES * 2 + 45)
        file.write(b"\xff")
    reader = FileStorage.open(root, read_only=True)
    for ask in (reader.get("a"), reader.list("")):
        with pytest.raises(DamagedLogError, match="record 1"):
            await ask
    assert await store.get("a") == b"2"
    await store.close()


@pytest.mark.parametrize("kind", ["stray file", "folder", "entry", "entry on its way"])
async def test_a_name_that_is_taken_is_refused_at_once_and_costs_the_others_nothing(
    tmp_path: Path, kind: str
) -> None:
    root = tmp_path / "d"
    store = FileStorage.open(root, log=LogOptions())
    await store.apply([Put("first", b"1")])
    key = "a/_b/c"
    if kind == "stray file":
        (root / "a").write_bytes(b"")
    elif kind == "folder":
        await store.apply([Put("a/_b/c", b"1")])
        key = "a/b"
    else:
        await store.apply([Put("a/b", b"1")])
        if kind == "entry":
            await store.close()
            store = FileStorage.open(root, log=LogOptions())
    for _ in range(2):
        with pytest.raises(StorageError, match="taken by another"):
            await store.apply([Put("with it", b"1"), Put(key, b"2"), Put("after it", b"1")])
        await store.apply([Put("other", b"1")])
    assert await store.get("after it") is None
    await store.close()
    store = FileStorage.open(root, read_only=True)
    assert await store.get("after it") is None
    assert await store.get(key) is None
    assert await store.get("other") == b"1"


class _Full(PosixFileSystem):
    """A disk without room for new files; the log is as large as it will get."""

    is_full = False

    def create(self, path: str, content: bytes) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().create(path, content)


async def test_a_full_disk_refuses_what_is_new_loses_nothing_and_serves_again_with_space(
    tmp_path: Path,
) -> None:
    root = tmp_path / "d"
    root.mkdir()
    files = _Full(str(root))
    store = FileStorage.open(root, files=files, log=SMALL)
    state = dict[str, bytes]()
    await store.apply([Put("a/first", b"1")])
    files.is_full = True
    refused = 0
    for number in range(60):
        try:
            await store.apply([Put(f"a/{number}", b"x" * 100)])
            state[f"a/{number}"] = b"x" * 100
        except DiskFullError:
            refused += 1
    assert refused
    assert state
    for key in (f"a/{number}" for number in range(60)):
        assert await store.get(key) == state.get(key)
    files.is_full = False
    for number in range(60, 120):
        await store.apply([Put(f"a/{number}", b"y")])
    await store.close()
    assert len(entries(root)) == 1 + len(state) + 60


async def test_a_store_that_cannot_be_emptied_on_closing_keeps_its_log(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    files = _Full(str(root))
    store = FileStorage.open(root, files=files, log=LogOptions())
    await store.apply([Put("a", b"1")])
    files.is_full = True
    with pytest.raises(BrokenStoreError):
        await store.close()
    assert entries(root) == {}
    store = FileStorage.open(root)
    assert store.replayed == 1
    assert await store.get("a") == b"1"
    await store.close()
