"""What was seen equal is not read again; whatever moved since is, and nothing hides from it."""

import asyncio
import hashlib
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support import s3_standin
from zvault.base.clock import Clock, ClockWatch, ManualClock, SystemClock
from zvault.base.secret import Secret
from zvault.storage import file_survey, s3
from zvault.storage.api import Delete, Operation, Put, Storage
from zvault.storage.compare import compare_stores
from zvault.storage.copy import copy_store, sync_store
from zvault.storage.errors import CopyProofError
from zvault.storage.file import FileStorage
from zvault.storage.file_writing import LogOptions
from zvault.storage.inmem import InMemStorage
from zvault.storage.listing import ObjectInfo, Stamp
from zvault.storage.pairing import Judged, Pair, Verdict
from zvault.storage.remembered import Remembered
from zvault.storage.s3 import S3Storage
from zvault.storage.s3_options import S3Credentials, S3Options
from zvault.storage.walk import survey, walk

LATER_NS = 10 * 10**9


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file looks ten seconds old when it is listed."""
    shifted = SimpleNamespace(time_ns=lambda: time.time_ns() + LATER_NS)
    monkeypatch.setattr(file_survey, "time", shifted)


class Reading:
    """A store that notes which values were asked for."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self.url = inner.url
        self.read: list[str] = []

    async def get(self, key: str) -> bytes | None:
        self.read.append(key)
        return await self.inner.get(key)

    async def apply(self, operations: Sequence[Operation]) -> None:
        await self.inner.apply(operations)

    async def list(self, prefix: str) -> list[str]:
        return await self.inner.list(prefix)

    async def survey(self, known: Sequence[str]) -> dict[str, ObjectInfo]:
        return await survey(self.inner, known)

    async def close(self) -> None:
        await self.inner.close()


def memory(clock: Clock | None = None) -> Remembered:
    return Remembered(clock or SystemClock())


def entries(count: int) -> dict[str, bytes]:
    return {f"logical/{n:03}": b"value %03d" % n for n in range(count)}


async def equal_pair(count: int = 40) -> tuple[Reading, Reading, Remembered]:
    """Two stores that a live copy has made and seen equal."""
    here, there = InMemStorage(entries(count), url="inmem:a"), InMemStorage(url="inmem:b")
    remembered = memory()
    await copy_store(here, there, source_may_change=True, remembered=remembered)
    return Reading(here), Reading(there), remembered


async def test_a_delta_reads_what_moved_and_nothing_else() -> None:
    here, there, remembered = await equal_pair()
    await here.apply([Put("logical/003", b"other"), Delete("logical/004"), Put("new", b"1")])
    await there.apply([Put("extra", b"x"), Delete("logical/005")])
    report = await sync_store(here, there, remembered=remembered)
    moved = {"logical/003", "logical/004", "logical/005", "extra", "new"}
    last = {"core/keyring", "core/seal-config"}
    assert set(here.read) <= moved | last
    assert set(there.read) <= moved | last
    assert (report.written, report.deleted, report.known) == (3, 2, 37)
    assert report.proof == "read-back+unmoved"
    assert (await compare_stores(here.inner, there.inner)).equal


async def test_what_the_delta_wrote_is_compared_by_reading_and_then_known() -> None:
    here, there, remembered = await equal_pair()
    await here.apply([Put("logical/003", b"other")])
    await sync_store(here, there, remembered=remembered)
    here.read.clear()
    found = await compare_stores(here, there, remembered=remembered)
    assert (found.equal, found.compared, found.known) == (True, 40, 39)
    assert here.read == ["logical/003"]
    assert (await compare_stores(here, there, remembered=remembered)).known == 40


@pytest.mark.parametrize("side", ["source", "destination"])
@pytest.mark.parametrize("damage", ["drop", "alter", "add"])
async def test_damage_after_the_delta_is_found_by_the_comparison(side: str, damage: str) -> None:
    here, there, remembered = await equal_pair()
    await sync_store(here, there, remembered=remembered)
    victim = here if side == "source" else there
    operation = {
        "drop": Delete("logical/007"),
        "alter": Put("logical/007", b"value 008"),
        "add": Put("logical/900", b"value"),
    }[damage]
    await victim.apply([operation])
    found = await compare_stores(here, there, remembered=remembered)
    assert not found.equal
    places = (*found.missing_in_b, *found.extra_in_b, *found.differing)
    assert places == ("logical/900" if damage == "add" else "logical/007",)


async def test_a_pass_that_remembers_ends_like_one_that_does_not() -> None:
    chance = random.Random(20)
    for _ in range(30):
        here, there, remembered = await equal_pair(12)
        for _ in range(4):
            for store in (here, there):
                for _ in range(chance.randrange(4)):
                    key = f"logical/{chance.randrange(16):03}"
                    put = Put(key, b"value %03d" % chance.randrange(16))
                    await store.apply([put if chance.random() < 0.7 else Delete(key)])
            forgetful = await compare_stores(here.inner, there.inner)
            found = await compare_stores(here, there, remembered=remembered)
            assert (found.missing_in_b, found.extra_in_b, found.differing, found.compared) == (
                forgetful.missing_in_b,
                forgetful.extra_in_b,
                forgetful.differing,
                forgetful.compared,
            )
            report = await sync_store(here, there, remembered=remembered)
            last = await compare_stores(here.inner, there.inner)
            assert (last.equal, last.compared) == (True, report.entries)


async def test_a_clock_that_was_set_back_takes_what_is_remembered_with_it() -> None:
    class Wall(ManualClock):
        set_back_ns = 0

        def now_ns(self) -> int:
            return super().now_ns() - self.set_back_ns

    clock = Wall()
    remembered = Remembered(clock)
    here, there = InMemStorage(entries(5), url="inmem:a"), InMemStorage(url="inmem:b")
    await copy_store(here, there, source_may_change=True, remembered=remembered)
    clock.advance(60)
    assert (await remembered.moved(here, there)).known == 5
    clock.set_back_ns = 5 * 10**9
    assert (await remembered.moved(here, there)).known == 0


def test_small_steps_back_add_up_and_steps_forward_are_no_harm() -> None:
    class Wall(ManualClock):
        ahead_ns = 0

        def now_ns(self) -> int:
            return super().now_ns() + self.ahead_ns

    clock = Wall()
    watch = ClockWatch(clock)
    clock.ahead_ns = 3600 * 10**9
    assert not watch.went_back()
    for step in range(1, 4):
        clock.ahead_ns -= 6 * 10**8
        assert watch.went_back() is (step == 2)


# -- files ---------------------------------------------------------------------------------------


@pytest.fixture
def stores(tmp_path: Path) -> tuple[FileStorage, InMemStorage]:
    return FileStorage.open(tmp_path / "data"), InMemStorage(url="inmem:b")


def wait_for_another_tick(path: Path) -> None:
    """Until the kernel gives another time of change than that of ``path``."""
    before, scratch = path.stat().st_ctime_ns, path.parent.parent / "tick"
    while True:
        scratch.write_bytes(b"")
        os.utime(scratch)
        if scratch.stat().st_ctime_ns != before:
            scratch.unlink()
            return


@pytest.mark.usefixtures("aged")
async def test_a_file_rewritten_in_place_with_as_many_bytes_is_seen(
    stores: tuple[FileStorage, InMemStorage],
) -> None:
    here, there = stores
    await here.apply([Put("a/x", b"1234"), Put("a/y", b"1234")])
    remembered = memory()
    await copy_store(here, there, source_may_change=True, remembered=remembered)
    assert (await remembered.moved(here, there)).known == 2
    file = here.path / "a/_x"
    before = file.stat()
    wait_for_another_tick(file)
    content = file.read_bytes().replace(b"MTIzNA", b"NDMyMQ")
    with file.open("r+b") as opened:
        opened.write(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_ino, file.stat().st_size) == (before.st_ino, before.st_size)
    assert (await sync_store(here, there, remembered=remembered)).written == 1
    assert await there.get("a/x") == b"4321"
    await here.close()


async def test_a_file_that_was_just_written_has_no_stamp_yet(
    stores: tuple[FileStorage, InMemStorage],
) -> None:
    here, there = stores
    await here.apply([Put("a/x", b"1")])
    remembered = memory()
    await copy_store(here, there, source_may_change=True, remembered=remembered)
    assert here.stamp("a/x") is None
    assert (await remembered.moved(here, there)).known == 0
    await here.close()


async def in_the_tree(store: FileStorage, key: str) -> None:
    """Until the entry has got there: the one put first gets there last."""
    for _ in range(3_000):
        if store.stamp(key) is not None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(key)


@pytest.mark.usefixtures("aged")
async def test_what_a_dead_servers_log_brings_back_counts_as_moved(tmp_path: Path) -> None:
    log = LogOptions(quiet_seconds=0.05)
    here, there = FileStorage.open(tmp_path / "d", log=log), InMemStorage(url="inmem:b")
    await here.apply([Put(f"k{n}", b"%d" % n) for n in range(6)])
    await in_the_tree(here, "k0")
    remembered = memory()
    await copy_store(here, there, source_may_change=True, remembered=remembered)
    assert (await remembered.moved(here, there)).known == 6
    await here.apply([Put("k1", b"one"), Delete("k2")])
    writer = here._writer
    assert writer is not None
    writer.let_go()  # kill -9
    (tmp_path / "d/_k1").unlink()  # and the power cut took what was not synced
    settled = FileStorage.open(tmp_path / "d")
    assert settled.replayed
    report = await sync_store(settled, there, remembered=remembered)
    assert (report.written, report.deleted) == (1, 1)
    assert (await compare_stores(settled, there)).equal
    await settled.close()


@pytest.mark.usefixtures("aged")
async def test_a_survey_names_what_the_walk_names_strays_and_links_without_a_stamp(
    tmp_path: Path,
) -> None:
    store = FileStorage.open(tmp_path / "d", log=LogOptions(quiet_seconds=0.05))
    await store.apply([Put(key, b"1") for key in ("a/b", "a/b/c", "a b", "core/keyring", "ü/x")])
    await in_the_tree(store, "a/b")
    (tmp_path / "d/a/stray").write_text("hello")
    (tmp_path / "d/a/b/c").write_text("beside an entry of that name")
    (tmp_path / "d/linked").symlink_to(tmp_path)
    found = await survey(store)
    assert sorted(found) == [key async for key in walk(store)]
    stamped = {key for key, info in found.items() if info.stamp is not None}
    assert stamped == set(found) - {"a/stray", "linked"}
    await store.close()


def test_stamps_are_believed_on_disks_of_this_machine_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    here = os.path.realpath(tmp_path)
    line = "36 35 98:0 /x {} rw,noatime master:1 - {} dev rw\n"
    monkeypatch.setattr(file_survey, "_MOUNTS", mounts)
    for kind, is_local in (("ext4", True), ("nfs4", False), ("fuse.sshfs", False), ("9p", False)):
        mounts.write_text(line.format("/", "ext4") + line.format(here, kind))
        assert file_survey.is_local_disk(here) is is_local
        assert file_survey.is_local_disk(here + "/below") is is_local
        assert file_survey.is_local_disk(here + "beside")
    mounts.write_text(line.format("/", "nfs4") + line.format(here.replace("t", "\\164"), "xfs"))
    assert file_survey.is_local_disk(here)
    monkeypatch.setattr(file_survey, "_MOUNTS", tmp_path / "none")
    assert not file_survey.is_local_disk(here)


async def test_on_any_other_disk_everything_is_read(
    stores: tuple[FileStorage, InMemStorage], monkeypatch: pytest.MonkeyPatch, aged: None
) -> None:
    here, there = stores
    monkeypatch.setattr(file_survey, "is_local_disk", lambda root: False)
    await here.apply([Put("a", b"1")])
    remembered = memory()
    await copy_store(here, there, source_may_change=True, remembered=remembered)
    assert (await remembered.moved(here, there)).known == 0
    await here.close()


# -- objects -------------------------------------------------------------------------------------


def md5(value: bytes) -> str:
    return hashlib.md5(value, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("is_seen_by_listing", [True, False])
async def test_an_objects_tag_is_remembered_only_when_equality_was_seen_by_it(
    is_seen_by_listing: bool,
) -> None:
    """Else: read while the object was other for a moment, and its old content has the tag again."""

    class Lists(InMemStorage):
        async def survey(self, known: object) -> dict[str, ObjectInfo]:
            return {"k": ObjectInfo("k", 3, md5(b"old"))}

    class Stamps(InMemStorage):
        def stamp(self, key: str) -> Stamp | None:
            return (1,)

    a, b = Stamps({"k": b"new"}), Lists({"k": b"old"})
    remembered = memory()
    moved = await remembered.moved(a, b)
    judged = Judged("k", Verdict.EQUAL, 3, read_back=not is_seen_by_listing)
    remembered.note(moved.pairs[0], judged)
    assert (await remembered.moved(a, b)).known == int(is_seen_by_listing)


def test_what_differs_is_never_remembered() -> None:
    remembered = memory()
    info = ObjectInfo("k", stamp=(1,))
    for verdict in Verdict:
        remembered.note(Pair("k", info, info), Judged("k", verdict, 1))
    assert set(remembered._pairs) == {"k"}
    remembered = memory()
    for verdict in set(Verdict) - {Verdict.EQUAL}:
        remembered.note(Pair("k", info, info), Judged("k", verdict, 1))
    assert not remembered._pairs


@pytest.mark.parametrize("kind", ["aws", "generic"])
async def test_a_bucket_listed_in_stretches_is_listed_whole(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_STRETCH", 3)
    habits = {"aws": s3_standin.AWS, "generic": s3_standin.GENERIC}[kind]
    names = [f"k/{n:03}" for n in range(25)] + ["a", "a b", "a/b", "zz"]
    async with s3_standin.running(habits=habits) as standin:
        credentials = S3Credentials("id", Secret("secret"))
        options = S3Options(
            "vault", credentials, prefix="p", endpoint=standin.endpoint, provider=kind
        )
        store = S3Storage.open(options)
        await store.apply([Put(name, name.encode()) for name in names])
        plain = {info.key: info async for info in store.list_objects()}
        assert sorted(plain) == sorted(names)
        unlike = ["0", "k/004x", "k/011", "k/9", "zzz"]
        for known in ([], names, unlike, names[:4], [*names, *unlike]):
            assert await store.survey(known) == plain
        await store.close()


async def test_a_destination_that_loses_a_write_is_named_although_much_is_remembered() -> None:
    here, there, remembered = await equal_pair()

    async def lost(operations: Sequence[Operation]) -> None:
        return None

    there.apply = lost  # type: ignore[method-assign]
    await here.apply([Put("logical/003", b"other")])
    with pytest.raises(CopyProofError, match="logical/003"):
        await sync_store(here, there, remembered=remembered)
