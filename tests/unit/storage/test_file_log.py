"""The file store's log: who may read meanwhile, what is replayed, what is refused."""

import asyncio
import errno
import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from launcher.ports import free_port
from tests.support.cli import zvault
from tests.support.real import require
from zvault.storage import file_log_format as form
from zvault.storage.api import Delete, Operation, Put
from zvault.storage.errors import (
    BrokenStoreError,
    DamagedLogError,
    DiskFullError,
    StorageError,
    StoreLockedError,
    UnreplayedLogError,
)
from zvault.storage.file import FileStorage
from zvault.storage.file_logged import LoggedCommitter
from zvault.storage.file_system import PosixFileSystem
from zvault.storage.file_writing import LogOptions
from zvault.storage.keys import MIGRATION_KEY
from zvault.storage.walk import walk

LOG = ".zvault-log"
MARK = "core/_migration"


def kill(store: FileStorage) -> None:
    """The kernel's part of a kill."""
    assert store._writer is not None
    store._writer.let_go()


async def settled(root: Path) -> None:
    """Wait until the store has emptied its log by itself."""
    for _ in range(200):
        if not (root / MARK).exists():
            break
        await asyncio.sleep(0.1)
    assert not (root / MARK).exists()


async def dead(root: Path, *operations: Operation) -> None:
    """A store whose server was killed after these, one apply each."""
    store = FileStorage.open(root, log=LogOptions())
    for operation in operations:
        await store.apply([operation])
    kill(store)


async def test_a_living_writers_tree_is_read_and_its_mark_is_nobodys_entry(tmp_path: Path) -> None:
    store = FileStorage.open(tmp_path / "d", log=LogOptions())
    await store.apply([Put("core/keyring", b"k"), Put("a/b", b"1")])
    assert (tmp_path / "d" / MARK).exists()
    reader = FileStorage.open(tmp_path / "d", read_only=True)
    for view in (store, reader):
        assert [key async for key in walk(view)] == ["a/b", "core/keyring"]
        assert await view.get(MIGRATION_KEY) is None
        assert await view.list("core/") == ["keyring"]
        assert await view.list(f"{LOG}/") == []
        assert await view.get(f"{LOG}/0") is None
    await store.close()
    left = sorted(str(p.relative_to(tmp_path / "d")) for p in (tmp_path / "d").rglob("*"))
    assert left == ["a", "a/_b", "core", "core/_keyring"]


async def test_a_dead_writers_store_is_refused_to_readers_and_replayed_to_writers(
    tmp_path: Path,
) -> None:
    root = tmp_path / "d"
    await dead(root, Put("a/b", b"1"), Put("a/c", b"2"), Put("a/b", b"3"), Delete("a/c"))
    shutil.rmtree(root / "a")  # the power cut
    with pytest.raises(UnreplayedLogError, match="died"):
        FileStorage.open(root, read_only=True)
    store = FileStorage.open(root)
    assert store.replayed == 4
    assert [key async for key in walk(store)] == ["a/b"]
    assert await store.get("a/b") == b"3"
    await store.close()
    assert not (root / LOG).exists()
    assert not (root / MARK).exists()
    assert await FileStorage.open(root, read_only=True).get("a/b") == b"3"


async def test_after_some_quiet_the_tree_is_whole_by_itself(tmp_path: Path) -> None:
    root = tmp_path / "d"
    # Unsynced: a sync of the whole file system takes as long as what others wrote to it.
    store = FileStorage.open(root, log=LogOptions(quiet_seconds=0.5), fsync=False)
    for _ in range(2):
        await store.apply([Put("a", b"1")])
        assert (root / MARK).exists()
        await settled(root)
    kill(store)
    assert await FileStorage.open(root, read_only=True).get("a") == b"1"


async def test_who_writes_while_a_quiet_store_settles_is_answered_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStorage.open(tmp_path / "d", log=LogOptions(quiet_seconds=0.01))
    assert store._writer is not None
    begun, go_on = threading.Event(), threading.Event()

    def broken() -> None:
        begun.set()
        go_on.wait()
        raise RuntimeError("a defect")

    await store.apply([Put("a", b"1")])
    monkeypatch.setattr(store._writer.queue._committer, "settle", broken)
    await asyncio.to_thread(begun.wait)
    waiting = asyncio.create_task(store.apply([Put("a", b"2")]))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait_for(waiting, 10)
    assert await store.get("a") == b"2"
    monkeypatch.undo()
    await store.close()


async def test_a_log_without_its_mark_is_refused_because_others_may_have_written(
    tmp_path: Path,
) -> None:
    root = tmp_path / "d"
    await dead(root, Put("a", b"1"))
    (root / MARK).unlink()
    for _ in range(2):
        with pytest.raises(UnreplayedLogError, match="mark"):
            FileStorage.open(root)
    assert (root / LOG / "0").exists()


@pytest.mark.parametrize("what", ["folder", "segments"])
async def test_a_mark_without_its_log_is_refused(tmp_path: Path, what: str) -> None:
    root = tmp_path / "d"
    await dead(root, Put("a", b"1"))
    shutil.rmtree(root / LOG)
    if what == "segments":
        (root / LOG).mkdir()
    for read_only in (True, False):
        with pytest.raises(UnreplayedLogError):
            FileStorage.open(root, read_only=read_only)
    assert (root / MARK).exists()


async def test_damage_is_told_from_a_torn_end(tmp_path: Path) -> None:
    root = tmp_path / "d"
    await dead(root, *(Put(f"k/{n}", b"%d" % n) for n in range(3)))
    path = root / LOG / "0"
    content = path.read_bytes()
    for record, is_torn in ((0, False), (1, False), (2, True)):  # 512 bytes each
        at = form.BLOCK_BYTES * (1 + record) + 45
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        if is_torn:
            shutil.rmtree(root / "k")
            store = FileStorage.open(root)
            assert [key async for key in walk(store)] == ["k/0", "k/1"]
            await store.close()
        else:
            with pytest.raises(DamagedLogError, match=f"record {record} is damaged"):
                FileStorage.open(root)


@pytest.mark.parametrize("content", [b"x" * 600, b"zvaultL1" + b"\1" * 600, b"short"])
async def test_a_header_that_is_none_is_damage(tmp_path: Path, content: bytes) -> None:
    root = tmp_path / "d"
    await dead(root, Put("a", b"1"))
    (root / LOG / "0").write_bytes(content)
    for read_only in (True, False):
        with pytest.raises(DamagedLogError):
            FileStorage.open(root, read_only=read_only)


async def test_records_of_an_earlier_use_of_a_segment_are_never_replayed(tmp_path: Path) -> None:
    root = tmp_path / "d"
    # Unsynced, and each checkpoint waited for: on a busy disk a segment would go on instead.
    store = FileStorage.open(root, log=LogOptions(segment_bytes=4096), fsync=False)
    assert store._writer is not None
    committer = store._writer.queue._committer
    assert isinstance(committer, LoggedCommitter)
    assert committer._log is not None
    for number in range(40):
        await store.apply([Put("a", b"%d" % number * 300)])
        if committer._log._checkpoint is not None:
            committer._log._checkpoint.result()
    kill(store)
    (root / "_a").unlink(missing_ok=True)
    store = FileStorage.open(root)
    assert store.replayed < 20
    assert await store.get("a") == b"39" * 300
    await store.close()


class _Failing(PosixFileSystem):
    """One kind of call fails with ``number``."""

    call = ""
    number = errno.ENOSPC

    def _maybe(self, call: str) -> None:
        if call == self.call:
            raise OSError(self.number, "said the disk")

    def create(self, path: str, content: bytes) -> None:
        if f"/{LOG}/" in path:
            self._maybe("create-mark")
        super().create(path, content)

    def make_folder(self, path: str) -> None:
        self._maybe("make_folder")
        super().make_folder(path)

    def write_at(self, path: str, offset: int, content: bytes) -> None:
        if offset or self.number != errno.ENOSPC:
            self._maybe("write_at")
        super().write_at(path, offset, content)

    def sync_data(self, path: str) -> None:
        self._maybe("sync_data")
        super().sync_data(path)

    def sync_all(self) -> None:
        self._maybe("sync_all")
        super().sync_all()


@pytest.mark.parametrize("call", ["make_folder", "create-mark", "write_at"])
async def test_what_failed_for_want_of_space_does_not_come_back(tmp_path: Path, call: str) -> None:
    root = tmp_path / "d"
    root.mkdir()
    files = _Failing(str(root))
    store = FileStorage.open(root, files=files, log=LogOptions())
    if call != "create-mark":
        await store.apply([Put("a", b"old")])
    files.call = call
    with pytest.raises(DiskFullError):
        await store.apply([Put("a", b"new" * 500), Put("in a/new folder", b"1")])
    files.call = ""
    before = b"old" if call != "create-mark" else None
    assert await store.get("a") == before
    await store.apply([Put("b", b"1")])
    kill(store)
    store = FileStorage.open(root)
    assert await store.get("a") == before
    await store.close()


@pytest.mark.parametrize("call", ["write_at", "sync_data", "sync_all"])
async def test_a_disk_that_fails_stops_the_store_and_leaves_the_log(
    tmp_path: Path, call: str
) -> None:
    root = tmp_path / "d"
    root.mkdir()
    files = _Failing(str(root))
    files.number = errno.EIO
    store = FileStorage.open(root, files=files, log=LogOptions(segment_bytes=1))
    await store.apply([Put("a", b"1")])
    files.call = call
    with pytest.raises(StorageError, match="said the disk"):
        await _apply_thrice(store)
    with pytest.raises(BrokenStoreError):
        await store.apply([Put("a", b"3")])
    files.call = ""
    with pytest.raises(BrokenStoreError):
        await store.close()
    store = FileStorage.open(root)
    assert await store.get("a") in (b"1", b"2")
    await store.close()


async def _apply_thrice(store: FileStorage) -> None:
    for _ in range(3):
        await store.apply([Put("a", b"2")])


async def test_settle_makes_a_dead_servers_store_whole_and_says_what_it_did(tmp_path: Path) -> None:
    root = tmp_path / "d"
    await dead(root, Put("a", b"1"), Put("b", b"2"))
    url = f"file:{root}"
    refused = zvault("store", "inspect", url, "--json")
    assert (refused.code, refused.json()["error"]["code"]) == (3, "storage-unreplayed-log")
    ran = zvault("store", "settle", url, "--json")
    assert (ran.code, ran.json()) == (0, {"store": url, "replayed": 2}), ran.err
    assert zvault("store", "settle", url, "--json").json()["replayed"] == 0
    assert await FileStorage.open(root, read_only=True).get("b") == b"2"
    assert zvault("store", "settle", f"file:{tmp_path / 'none'}").code == 10
    assert not (tmp_path / "none").exists()
    store = FileStorage.open(root)
    assert zvault("store", "settle", url).code == 9
    await store.close()


async def test_openbao_does_not_start_on_a_tree_whose_log_is_in_use(tmp_path: Path) -> None:
    binary = require("openbao-2.6.2")
    await dead(tmp_path / "d", Put("a", b"1"))
    config = tmp_path / "bao.json"
    address = f"127.0.0.1:{free_port()}"
    settings = {
        "storage": {"file": {"path": str(tmp_path / "d")}},
        "listener": {"tcp": {"address": address, "tls_disable": True}},
        "api_addr": f"http://{address}",
    }
    config.write_text(json.dumps(settings))
    done = await asyncio.to_thread(
        subprocess.run,
        [str(binary), "server", f"-config={config}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "migration in progress" in done.stdout + done.stderr


async def test_a_second_writer_is_refused_and_does_not_replay(tmp_path: Path) -> None:
    store = FileStorage.open(tmp_path / "d", log=LogOptions())
    await store.apply([Put("a", b"1")])
    with pytest.raises(StoreLockedError):
        FileStorage.open(tmp_path / "d")
    await store.apply([Put("a", b"2")])
    await store.close()


class Refusing(PosixFileSystem):
    """Removes no file of one name; may fail once to sync what it has written, for want of space."""

    kept = ""
    is_full = False

    def remove(self, path: str) -> None:
        if self.kept and path.endswith(self.kept):
            raise PermissionError(errno.EACCES, "Permission denied")
        super().remove(path)

    def sync_data(self, path: str) -> None:
        if self.is_full:
            self.is_full = False
            raise OSError(errno.ENOSPC, "No space left on device")
        super().sync_data(path)


async def after_a_kill(root: Path, place: Path, key: str) -> bytes | None:
    """What a server that is started on a copy of a serving store finds."""
    shutil.copytree(root, place)
    store = FileStorage.open(place, log=LogOptions())
    try:
        return await store.get(key)
    finally:
        await store.close()


async def test_what_failed_and_was_said_to_have_failed_does_not_come_back(tmp_path: Path) -> None:
    root = tmp_path / "d"
    store = FileStorage.open(root)
    await store.apply([Put("a/x", b"1")])
    await store.close()
    files = Refusing(str(root))
    store = FileStorage.open(root, log=LogOptions(), files=files)
    files.kept = "/a/_x"
    with pytest.raises(StorageError, match="Permission denied"):
        await store.apply([Delete("a/x")])
    assert await after_a_kill(root, tmp_path / "copy", "a/x") == b"1"
    files.kept = ""
    await store.close()


async def test_a_record_that_was_refused_for_want_of_space_is_not_replayed(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    files = Refusing(str(root))
    store = FileStorage.open(root, log=LogOptions(), files=files)
    await store.apply([Put("a/x", b"1")])
    files.is_full = True
    with pytest.raises(DiskFullError):
        await store.apply([Put("a/x", b"2")])
    assert await after_a_kill(root, tmp_path / "copy", "a/x") == b"1"
    await store.close()


async def test_a_store_that_holds_nothing_but_the_logs_mark_shows_no_folder_for_it(
    tmp_path: Path,
) -> None:
    store = FileStorage.open(tmp_path / "d", log=LogOptions())
    await store.apply([Put("a", b"1")])
    assert (tmp_path / "d" / MARK).exists()
    assert await store.list("") == ["a"]
    await store.close()
