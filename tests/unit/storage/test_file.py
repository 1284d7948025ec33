"""The file backend beside what the contract suite asks: modes, locks, strays, leftovers, cache."""

import asyncio
import fcntl
import os
import stat
from pathlib import Path

import pytest

from tests.support.disk import WatchedDisk
from zvault.storage.api import Delete, Put
from zvault.storage.compare import compare_stores
from zvault.storage.copy import copy_store
from zvault.storage.digest import read_entries
from zvault.storage.errors import (
    CorruptEntryError,
    InvalidKeyError,
    ReadOnlyStoreError,
    StorageError,
    StoreLockedError,
    StoreNotFoundError,
)
from zvault.storage.file import DEFAULT_CACHE_BYTES, FileStorage
from zvault.storage.inmem import InMemStorage
from zvault.storage.walk import walk


async def test_files_and_folders_are_private_and_laid_out_as_a_real_server_does(
    tmp_path: Path,
) -> None:
    store = FileStorage.open(tmp_path / "new" / "data")
    await store.apply([Put("a/b/c", b"1"), Put("a/b", b"2"), Put("top", b"3")])
    await store.close()
    root = tmp_path / "new" / "data"
    files = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
    assert files == ["_top", "a/_b", "a/b/_c"]
    assert (root / "a/b/_c").read_bytes() == b'{"Value":"MQ=="}\n'
    for path in [root, *root.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600)


async def test_deleting_removes_empty_folders_up_to_but_not_with_the_root(tmp_path: Path) -> None:
    store = FileStorage.open(tmp_path / "data")
    await store.apply([Put("a/b/c/d", b"1"), Put("a/x", b"2")])
    await store.apply([Delete("a/b/c/d")])
    assert not (tmp_path / "data/a/b").exists()
    assert (tmp_path / "data/a/_x").exists()
    await store.apply([Delete("a/x")])
    await store.close()
    assert list((tmp_path / "data").iterdir()) == []


async def test_a_store_that_was_opened_and_never_written_leaves_no_trace(tmp_path: Path) -> None:
    await FileStorage.open(tmp_path / "new" / "data").close()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    await FileStorage.open(tmp_path / "there").close()
    assert (tmp_path / "there").is_dir()
    beside = FileStorage.open(tmp_path / "new" / "data")
    (tmp_path / "new" / "other").touch()
    await beside.close()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["other"]


async def test_a_second_writer_is_told_who_holds_the_store(tmp_path: Path) -> None:
    store = FileStorage.open(tmp_path)
    with pytest.raises(StoreLockedError, match=f"process {os.getpid()}") as caught:
        FileStorage.open(tmp_path)
    assert caught.value.hint
    await store.close()
    await FileStorage.open(tmp_path).close()


async def test_a_reader_needs_no_lock_writes_nothing_and_sees_what_is_true_now(
    tmp_path: Path,
) -> None:
    writer = FileStorage.open(tmp_path)
    await writer.apply([Put("a", b"1")])
    before = sorted(tmp_path.rglob("*"))
    reader = FileStorage.open(tmp_path, read_only=True)
    assert await reader.get("a") == b"1"
    await writer.apply([Put("a", b"2")])
    assert await reader.get("a") == b"2"
    with pytest.raises(ReadOnlyStoreError):
        await reader.apply([Put("a", b"3")])
    await reader.close()
    assert sorted(tmp_path.rglob("*")) == before
    await writer.close()


async def test_a_wrong_path_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="does not exist"):
        FileStorage.open(tmp_path / "typo", read_only=True)
    assert not (tmp_path / "typo").exists()
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreNotFoundError, match="no directory"):
        FileStorage.open(tmp_path / "file", read_only=True)
    with pytest.raises(StoreNotFoundError, match="no directory"):
        FileStorage.open(tmp_path / "file")
    with pytest.raises(StorageError):
        FileStorage.open(tmp_path / "file" / "below")


async def test_leftovers_of_our_own_killed_writer_are_cleaned_up_and_never_listed(
    tmp_path: Path,
) -> None:
    (tmp_path / ".zvault-tmp").mkdir()
    (tmp_path / ".zvault-tmp" / "17").write_bytes(b'{"Value":"to')
    reader = FileStorage.open(tmp_path, read_only=True)
    assert await reader.list("") == []
    assert await reader.list(".zvault-tmp/") == []
    assert await reader.get(".zvault-tmp/17") is None
    writer = FileStorage.open(tmp_path)
    assert list((tmp_path / ".zvault-tmp").iterdir()) == []
    await writer.close()
    assert list(tmp_path.iterdir()) == []


async def test_a_real_servers_leftover_is_listed_and_never_decoded_as_an_entry(
    tmp_path: Path,
) -> None:
    store = FileStorage.open(tmp_path)
    await store.apply([Put("sys/expire/id/x", b"lease")])
    folder = tmp_path / "sys/expire/id"
    (folder / "_x.temp").write_bytes(b'{"Value":"bGVh')
    assert await store.list("sys/expire/id/") == ["x", "x.temp"]
    with pytest.raises(CorruptEntryError, match=r"x\.temp") as caught:
        await store.get("sys/expire/id/x.temp")
    assert "killed server" in caught.value.hint
    await store.close()


async def test_strays_are_listed_and_have_no_entry(tmp_path: Path) -> None:
    (tmp_path / "stray").write_text("hello")
    (tmp_path / "_empty").write_text("")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "_fifo")
    store = FileStorage.open(tmp_path, read_only=True)
    assert await store.list("") == ["empty", "fifo", "folder/", "stray"]
    assert [await store.get(key) for key in ("stray", "empty", "fifo", "folder")] == [None] * 4
    assert [entry async for entry in read_entries(store)] == []


async def test_a_symbolic_link_is_no_entry(tmp_path: Path) -> None:
    (tmp_path / "_real").write_bytes(b'{"Value":"MQ=="}\n')
    (tmp_path / "_link").symlink_to(tmp_path / "_real")
    store = FileStorage.open(tmp_path, read_only=True)
    with pytest.raises(CorruptEntryError, match="symbolic link"):
        await store.get("link")


@pytest.mark.parametrize("target", [".", "nowhere", "loop"])
async def test_a_link_to_a_folder_is_not_walked_into_and_not_passed_over(
    tmp_path: Path, target: str
) -> None:
    (tmp_path / "loop").symlink_to(target)
    (tmp_path / "_a").write_bytes(b'{"Value":"MQ=="}\n')
    (tmp_path / "stray").symlink_to("_a")
    store = FileStorage.open(tmp_path, read_only=True)
    assert [key async for key in walk(store)] == ["a", "loop", "stray"]
    assert await store.get("stray") is None
    with pytest.raises(CorruptEntryError, match=r"'loop'.*symbolic link"):
        await store.get("loop")
    with pytest.raises(CorruptEntryError, match="'loop'"):
        await copy_store(store, InMemStorage())
    with pytest.raises(CorruptEntryError, match="'loop'"):
        await compare_stores(store, InMemStorage({"a": b"1"}))


async def test_a_stray_file_with_an_entrys_name_is_listed_once(tmp_path: Path) -> None:
    source = FileStorage.open(tmp_path)
    await source.apply([Put("core/audit", b"1")])
    (tmp_path / "core/audit").write_text("stray")
    assert await source.list("core/") == ["audit"]
    report = await copy_store(source, InMemStorage())
    assert report.entries == 1
    await source.close()


async def test_a_key_and_a_folder_that_want_one_file_name_are_an_error_that_says_so(
    tmp_path: Path,
) -> None:
    store = FileStorage.open(tmp_path)
    await store.apply([Put("_x/y", b"1")])
    with pytest.raises(StorageError, match="taken by another key"):
        await store.apply([Put("x", b"2")])
    await store.apply([Put("z", b"3")])
    with pytest.raises(StorageError, match="taken by another key"):
        await store.apply([Put("_z/y", b"4")])
    assert await store.get("_x/y") == b"1"
    assert await store.get("z") == b"3"
    await store.close()


async def test_a_path_too_long_for_the_machine_is_an_invalid_key(tmp_path: Path) -> None:
    store = FileStorage.open(tmp_path)
    with pytest.raises(InvalidKeyError, match="too long"):
        await store.apply([Put("/".join(["x" * 200] * 30), b"1")])
    assert await store.get("/".join(["x" * 200] * 30)) is None
    deep = "/".join(["d"] * 1500)
    await store.apply([Put(deep, b"deep")])
    assert [key async for key in walk(store)] == [deep]
    await store.apply([Delete(deep)])  # pytest's own cleaning would recurse too deep
    assert await store.list("") == []
    await store.close()


@pytest.mark.parametrize("cache_bytes", [0, DEFAULT_CACHE_BYTES])
async def test_a_read_never_suspends(tmp_path: Path, cache_bytes: int) -> None:
    store = FileStorage.open(tmp_path, cache_bytes=cache_bytes)
    await store.apply([Put("a", b"1")])
    for key in ("a", "absent"):
        with pytest.raises(StopIteration):
            store.get(key).send(None)
    await store.close()


async def test_without_a_cache_each_read_asks_the_disk(tmp_path: Path) -> None:
    """A proof would otherwise compare a memory with itself."""
    store = FileStorage.open(tmp_path)
    await store.apply([Put("a", b"1")])
    assert await store.get("a") == b"1"
    (tmp_path / "_a").write_bytes(b'{"Value":"Mg=="}\n')
    assert await store.get("a") == b"2"
    await store.close()


async def test_a_new_root_is_durable_with_all_the_folders_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = WatchedDisk(tmp_path, monkeypatch)
    store = FileStorage.open(tmp_path / "a/b/c")
    assert (tmp_path / "a/b/c").is_dir()
    assert disk.would_lose() == []
    await store.close()


async def test_deleting_a_key_whose_file_name_is_anothers_folder_is_fine(tmp_path: Path) -> None:
    store = FileStorage.open(tmp_path)
    await store.apply([Put("_x/y", b"1")])
    await store.apply([Delete("x"), Put("z", b"2")])
    assert (await store.get("_x/y"), await store.get("z")) == (b"1", b"2")
    await store.close()


async def test_the_cache_shows_each_write_at_once(tmp_path: Path) -> None:
    store = FileStorage.open(tmp_path, cache_bytes=DEFAULT_CACHE_BYTES)
    for value in (b"1", b"2", b"3"):
        await store.apply([Put("a", value)])
        assert await store.get("a") == value
        assert await store.get("a") == value
    await store.apply([Delete("a")])
    assert await store.get("a") is None
    await store.close()


async def test_a_caller_that_is_cancelled_hurts_nobody_else(tmp_path: Path) -> None:
    store = FileStorage.open(tmp_path)
    tasks = [asyncio.create_task(store.apply([Put(f"k/{n}", b"1")])) for n in range(20)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, asyncio.CancelledError) for result in results) == 1
    assert results.count(None) == 19
    await store.close()
    reader = FileStorage.open(tmp_path, read_only=True)
    assert len([key async for key in walk(reader)]) in (19, 20)


async def test_closing_finishes_what_has_begun(tmp_path: Path) -> None:
    store = FileStorage.open(tmp_path)
    tasks = [asyncio.create_task(store.apply([Put(f"k/{n}", b"1")])) for n in range(50)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*tasks)
    with pytest.raises(StorageError, match="closed"):
        await store.apply([Put("late", b"1")])
    reader = FileStorage.open(tmp_path, read_only=True)
    assert len(await reader.list("k/")) == 50


async def test_a_defect_in_the_committer_reaches_the_caller_instead_of_hanging_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStorage.open(tmp_path)
    assert store._writer is not None

    def broken(batch: object) -> list[None]:
        raise RuntimeError("a bug")

    monkeypatch.setattr(store._writer.queue._committer, "commit", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        await asyncio.wait_for(store.apply([Put("a", b"1")]), 5)
    await store.close()


async def test_the_lock_is_on_the_directory_and_leaves_no_file(tmp_path: Path) -> None:
    store = FileStorage.open(tmp_path)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    await store.close()
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
    assert list(tmp_path.iterdir()) == []


async def test_a_store_of_somebody_else_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read everything, so the refusal is played."""
    store = FileStorage.open(tmp_path, read_only=True)

    def refuse(*args: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match="Permission denied") as caught:
        await store.get("a")
    assert "owns the data directory" in caught.value.hint


async def test_a_large_folder_is_listed_whole_and_off_the_event_loop(tmp_path: Path) -> None:
    storage = FileStorage.open(tmp_path / "store")
    for name, count in (("many", 1_200), ("few", 3)):
        (tmp_path / "store" / name).mkdir()
        for number in range(count):
            (tmp_path / "store" / name / f"_{number:04d}").write_bytes(b"{}")
    listing = asyncio.create_task(storage.list("many/"))
    await asyncio.sleep(0)
    assert not listing.done()
    assert await listing == [f"{number:04d}" for number in range(1_200)]
    with pytest.raises(StopIteration) as finished:
        storage.list("few/").send(None)  # type: ignore[attr-defined]
    assert finished.value.value == ["0000", "0001", "0002"]
    await storage.close()
