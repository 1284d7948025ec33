"""What was reported as done is on the disk: a power cut right after it takes nothing of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.disk import WatchedDisk
from tests.support.golden import unpack
from tests.support.golden_storage import shares_of
from tests.support.keyfiles import PASSWORD
from zvault.app.doors_files import ConfigFiles
from zvault.base.atomic_file import make_folders, write_atomic
from zvault.base.clock import ManualClock
from zvault.base.secret import Secret
from zvault.offline.proof import prove_unseal_key
from zvault.ops.backup.catalog import Catalog
from zvault.ops.backup.check import open_backup
from zvault.ops.backup.places import DirectoryPlace
from zvault.ops.backup.restore import restore_to_directory
from zvault.ops.backup.take import Taker
from zvault.ops.declare.keys_file import KeysFile
from zvault.ops.migration.journal import Journal, Record
from zvault.ops.unseal.keeping import Maker, destroy_key_file
from zvault.ops.unseal.keyfile_header import MIN_ITERATIONS
from zvault.storage.api import Put
from zvault.storage.copy_journal import CopyJournal
from zvault.storage.file import FileStorage

CLOCK = ManualClock(1_795_305_600_000_000_000)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder whose like was never there."""
    return tmp_path / "new" / "newer"


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedDisk:
    return WatchedDisk(tmp_path, monkeypatch)


def test_the_watch_knows_what_is_not_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old", "gone", "grown"):
        (tmp_path / name).write_text("x")
    disk = WatchedDisk(tmp_path, monkeypatch)
    assert disk.would_lose() == []
    (tmp_path / "folder").mkdir()
    write_atomic(tmp_path / "folder" / "in", b"content")
    (tmp_path / "gone").unlink()
    (tmp_path / "grown").write_text("longer")
    assert disk.would_lose() == ["folder", "gone", "grown"]
    make_folders(tmp_path / "folder")  # it is there: nobody's promise but its maker's
    assert "folder" in disk.would_lose()
    write_atomic(tmp_path / "old", b"new")
    assert disk.would_lose() == ["grown"]


async def test_a_backup_its_removal_and_what_it_was_restored_to(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = unpack("vault-file", tmp_path)
    disk = WatchedDisk(tmp_path, monkeypatch)
    source = FileStorage.open(golden.data, read_only=True)
    backups = DirectoryPlace(place / "backups")
    record = await Taker(backups, CLOCK).take(source, shares_of(golden))
    assert disk.would_lose() == []
    async with open_backup(backups, record.name, record.sha256) as backup:
        await restore_to_directory(backup, place / "a" / "data", FileStorage.open, None)
    assert disk.would_lose() == []
    await Catalog(backups, CLOCK).remove([record.name])
    assert list(backups.directory.iterdir()) == []
    assert disk.would_lose() == []


async def test_a_key_file_and_its_end(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = unpack("vault-file", tmp_path)
    store = FileStorage.open(golden.data, read_only=True)
    disk, path = WatchedDisk(tmp_path, monkeypatch), place / "key.enc"
    maker = Maker(prove_unseal_key, CLOCK, iterations=MIN_ITERATIONS)
    await maker.create(path, store, shares_of(golden)[2:], PASSWORD, "prod")
    assert path.exists()
    assert disk.would_lose() == []
    destroy_key_file(path, path.name)
    assert disk.would_lose() == []


def _journal(place: Path) -> Callable[[], None]:
    journal = Journal.open(place / "journal.jsonl")
    journal.append(Record("r", CLOCK.now_ns(), "intent", "step", {}))
    return journal.close


def _copy_journal(place: Path) -> Callable[[], None]:
    journal = CopyJournal.open(place / "copy", source="file:a", destination="s3://b/c")
    journal.begin()
    journal.reached("core/x", 1, 10)
    return journal.close


def _keys_file(place: Path) -> Callable[[], None]:
    file = KeysFile(place / "keys.json")
    file.keep(Secret(b'{"shares": []}\n'))
    return file.close


@pytest.mark.parametrize("begin", [_journal, _copy_journal, _keys_file])
def test_what_others_go_by_after_a_crash(
    disk: WatchedDisk, place: Path, begin: Callable[[Path], Callable[[], None]]
) -> None:
    make_folders(place)
    close = begin(place)
    assert list(place.iterdir()) != []
    assert disk.would_lose() == []
    close()


async def test_configurations(disk: WatchedDisk, place: Path) -> None:
    files = ConfigFiles()
    await files.write(place / "config.hcl", "one")
    await files.write(place / "config.hcl", "two")
    assert disk.would_lose() == []
    await files.remove(place / "config.hcl")
    assert disk.would_lose() == []


async def test_a_file_store_and_all_that_was_put_in(disk: WatchedDisk, place: Path) -> None:
    store = FileStorage.open(place / "data")
    for number in range(3):
        await store.apply([Put(f"a/b{number}/c", b"1"), Put("a/b", b"2")])
    await store.close()
    assert disk.would_lose() == []
