"""Other programs make a sync of the whole file system slow: nobody who writes waits for it."""

import asyncio
import errno
import threading
from pathlib import Path

import pytest

from tests.unit.storage.test_file_log import MARK, kill, settled
from zvault.storage.api import Put
from zvault.storage.errors import BrokenStoreError
from zvault.storage.file import FileStorage
from zvault.storage.file_system import PosixFileSystem
from zvault.storage.file_writing import LogOptions

SEGMENT = 1 << 12


class BusyDisk(PosixFileSystem):
    """Its syncs of everything begin, and end when ``rest`` is set."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        super().__init__(str(root))
        self.begun = threading.Event()
        self.rest = threading.Event()
        self.fails = False

    def sync_all(self) -> None:
        self.begun.set()
        assert self.rest.wait(60)
        if self.fails:
            self.fails = False
            raise OSError(errno.EIO, "the disk lost it")


@pytest.fixture
def disk(tmp_path: Path) -> BusyDisk:
    return BusyDisk(tmp_path / "d")


def open_on(disk: BusyDisk, tmp_path: Path, quiet_seconds: float) -> FileStorage:
    options = LogOptions(segment_bytes=SEGMENT, quiet_seconds=quiet_seconds)
    return FileStorage.open(tmp_path / "d", log=options, files=disk)


async def in_time(store: FileStorage, key: str, value: bytes, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        await store.apply([Put(key, value)])


async def written_to_while_it_settles(disk: BusyDisk, tmp_path: Path) -> FileStorage:
    """``a`` is 2; the sync that began when it was 1 has not ended."""
    store = open_on(disk, tmp_path, 0.01)
    await store.apply([Put("a", b"1")])
    assert await asyncio.to_thread(disk.begun.wait, 10)
    await in_time(store, "a", b"2")
    return store


async def many(store: FileStorage, seconds: float, pause: float = 0) -> None:
    """Each within ``seconds``."""
    for number in range(10 if pause else 400):
        await in_time(store, f"k{number}", bytes(600), seconds)
        await asyncio.sleep(pause)


async def test_who_writes_while_a_quiet_store_is_made_durable_does_not_wait(
    tmp_path: Path, disk: BusyDisk
) -> None:
    store = await written_to_while_it_settles(disk, tmp_path)
    assert (tmp_path / "d" / MARK).exists()
    disk.rest.set()
    await settled(tmp_path / "d")
    kill(store)
    assert await FileStorage.open(tmp_path / "d", read_only=True).get("a") == b"2"


async def test_what_was_written_since_a_sync_began_is_not_taken_for_durable(
    tmp_path: Path, disk: BusyDisk
) -> None:
    """The log says that it is not needed only after a sync that began behind its last record."""
    store = await written_to_while_it_settles(disk, tmp_path)
    disk.begun.clear()
    disk.rest.set()
    assert await asyncio.to_thread(disk.begun.wait, 10)
    await store.close()


async def test_a_full_segment_takes_more_while_the_one_before_is_made_durable(
    tmp_path: Path, disk: BusyDisk
) -> None:
    store = open_on(disk, tmp_path, 0)
    for number in range(20):  # each record takes two blocks, so that is five segments
        await in_time(store, f"k{number % 3}", bytes([number]) * 600)
    assert disk.begun.is_set()
    reader = FileStorage.open(tmp_path / "d", read_only=True)
    assert await reader.get("k1") == bytes([19]) * 600
    kill(store)
    again = FileStorage.open(tmp_path / "d", log=LogOptions(segment_bytes=SEGMENT))
    assert again.replayed == 20
    assert await again.get("k1") == bytes([19]) * 600
    await again.close()
    disk.rest.set()


async def test_there_is_an_end_to_what_a_full_segment_takes(tmp_path: Path, disk: BusyDisk) -> None:
    store = open_on(disk, tmp_path, 0)
    with pytest.raises(TimeoutError):
        await many(store, seconds=1)
    size = sum(path.stat().st_size for path in (tmp_path / "d" / ".zvault-log").iterdir())
    assert size < 3 << 20
    disk.rest.set()
    await store.close()


@pytest.mark.parametrize("what", ["a segment's", "a quiet store's, then a busy one", "both quiet"])
async def test_a_sync_that_failed_while_others_wrote_is_not_forgotten(
    tmp_path: Path, disk: BusyDisk, what: str
) -> None:
    """The kernel tells of what it lost once; the next sync succeeds."""
    store = open_on(disk, tmp_path, 0 if what == "a segment's" else 0.05)
    disk.fails = True
    for number in range(8 if what == "a segment's" else 1):
        await in_time(store, f"k{number}", bytes(600))
    assert await asyncio.to_thread(disk.begun.wait, 10)
    await in_time(store, "a", b"1")
    disk.rest.set()
    pause = 0.2 if what == "both quiet" else 0
    with pytest.raises(BrokenStoreError):
        await many(store, 10, pause)
    with pytest.raises(BrokenStoreError):
        await store.close()
