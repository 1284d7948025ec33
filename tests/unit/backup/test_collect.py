"""Passes over a store that changes: what is collected was all true at one moment."""

import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from zvault.base.clock import ManualClock
from zvault.ops.backup.collect import HELD, TWO_PASSES, Collector, PassReport
from zvault.ops.backup.errors import StoreChangingError
from zvault.ops.backup.spool import Spool
from zvault.storage.api import Delete, Operation, Put
from zvault.storage.errors import CorruptEntryError
from zvault.storage.file import FileStorage
from zvault.storage.inmem import InMemStorage
from zvault.storage.listing import ObjectInfo

real_time_ns = time.time_ns
VALUES = {f"k{number:02}": b"%d" % number for number in range(20)}


class BusyStorage(InMemStorage):
    """A store to which ``write`` happens after every ``every``-th read."""

    def __init__(self, write: Callable[[int], list[Operation]], every: int = 7) -> None:
        super().__init__(VALUES)
        self.write, self.every = write, every
        self.reads, self.held = 0, False

    async def get(self, key: str) -> bytes | None:
        self.reads += 1
        if self.reads % self.every == 0 and not self.held:
            await self.apply(self.write(self.reads))
        return await super().get(key)

    def all(self) -> dict[str, bytes]:
        return dict(self._values)


class FlagHold:
    """Holds the writes of a BusyStorage and keeps what it held meanwhile."""

    def __init__(self, storage: BusyStorage) -> None:
        self.storage = storage
        self.state: dict[str, bytes] = {}

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        self.storage.held = True
        self.state = self.storage.all()
        try:
            yield
        finally:
            self.storage.held = False


@pytest.fixture
def spool() -> object:
    made = Spool()
    yield made
    made.close()


def content(spool: Spool) -> dict[str, bytes]:
    return {key: spool.read(key) or b"" for key in spool.keys()}  # noqa: SIM118


async def test_a_quiet_store_takes_two_passes(spool: Spool) -> None:
    seen: list[PassReport] = []
    collector = Collector(InMemStorage(VALUES), spool, ManualClock(), on_pass=seen.append)
    collected = await collector.collect()
    assert (collected.consistency, collected.passes) == (TWO_PASSES, 2)
    assert content(spool) == VALUES
    assert [(p.entries, p.changed) for p in seen] == [(20, 20), (20, 0)]


async def test_an_empty_store_is_no_endless_walk(spool: Spool) -> None:
    assert (await Collector(InMemStorage(), spool, ManualClock()).collect()).passes == 2


async def test_a_write_during_the_first_pass_means_one_more_pass(spool: Spool) -> None:
    storage = BusyStorage(lambda reads: [Put("k00", b"new")] if reads == 7 else [])
    collected = await Collector(storage, spool, ManualClock()).collect()
    assert collected.passes == 3
    assert content(spool) == storage.all()


async def test_deletions_travel(spool: Spool) -> None:
    storage = BusyStorage(lambda reads: [Delete("k03")] if reads == 14 else [])
    await Collector(storage, spool, ManualClock()).collect()
    assert "k03" not in spool.keys()  # noqa: SIM118
    assert content(spool) == storage.all()


async def test_writes_without_a_pause_and_nothing_to_hold_them_are_refused(spool: Spool) -> None:
    storage = BusyStorage(lambda reads: [Put("k05", b"%d" % reads)], every=1)
    with pytest.raises(StoreChangingError, match="changed during each"):
        await Collector(storage, spool, ManualClock()).collect()


async def test_writes_without_a_pause_are_held_for_the_last_passes(spool: Spool) -> None:
    storage = BusyStorage(
        lambda reads: [Put("k05", b"%d" % reads), Put(f"n{reads}", b"x")], every=1
    )
    hold = FlagHold(storage)
    collected = await Collector(storage, spool, ManualClock(), hold).collect()
    assert collected.consistency == HELD
    assert content(spool) == hold.state
    assert not storage.held


async def test_a_store_that_goes_on_changing_while_held_is_refused(spool: Spool) -> None:
    class NoHold(FlagHold):
        @asynccontextmanager
        async def held(self) -> AsyncIterator[None]:
            yield

    storage = BusyStorage(lambda reads: [Put("k05", b"%d" % reads)], every=1)
    with pytest.raises(StoreChangingError, match="while its server was held"):
        await Collector(storage, spool, ManualClock(), NoHold(storage)).collect()


async def test_a_change_back_to_an_older_value_between_two_passes_is_still_one_moment(
    spool: Spool,
) -> None:
    """Two keys that always move together are never seen apart in what is collected."""

    def swap(reads: int) -> list[Operation]:
        if reads > 60:
            return []
        value = b"%d" % (reads % 2)
        return [Put("k00", value), Put("k19", value)]

    storage = BusyStorage(swap, every=5)
    await Collector(storage, spool, ManualClock(), FlagHold(storage)).collect()
    assert spool.read("k00") == spool.read("k19")


async def test_locks_stay_behind_and_names_no_server_writes_are_named(spool: Spool) -> None:
    values = VALUES | {"core/lock": b"x", "core/migration": b"x", "core/leader/1": b"x"}

    class Stray(InMemStorage):
        async def list_objects(
            self, prefix: str = "", *, after: str | None = None
        ) -> AsyncIterator[ObjectInfo]:
            async for info in super().list_objects(prefix, after=after):
                yield info
            yield ObjectInfo("z\udcff")
            yield ObjectInfo("zz-no-entry")

    collected = await Collector(Stray(values), spool, ManualClock()).collect()
    assert content(spool) == VALUES
    assert [item.key for item in collected.left_out] == [r"'z\udcff'", "zz-no-entry"]
    assert not any(item.damaged for item in collected.left_out)


async def test_a_damaged_entry_is_named_as_missing_from_the_backup(spool: Spool) -> None:
    class Damaged(InMemStorage):
        async def get(self, key: str) -> bytes | None:
            if key in ("k04", "k05.temp"):
                raise CorruptEntryError("no JSON", store="x", key=key)
            return await super().get(key)

    storage = Damaged(VALUES | {"k05.temp": b""})
    collected = await Collector(storage, spool, ManualClock()).collect()
    assert [(item.key, item.damaged) for item in collected.left_out] == [
        ("k04", True),
        ("k05.temp", False),
    ]


async def test_entries_whose_listed_md5_did_not_change_are_not_read_again(spool: Spool) -> None:
    import hashlib

    class Tagged(InMemStorage):
        reads = 0

        async def get(self, key: str) -> bytes | None:
            self.reads += 1
            return await super().get(key)

        async def list_objects(
            self, prefix: str = "", *, after: str | None = None
        ) -> AsyncIterator[ObjectInfo]:
            async for info in super().list_objects(prefix, after=after):
                tag = hashlib.md5(self._values[info.key]).hexdigest()
                yield ObjectInfo(info.key, None, tag)

    storage = Tagged(VALUES)
    await Collector(storage, spool, ManualClock()).collect()
    assert storage.reads == len(VALUES)
    assert content(spool) == VALUES


async def test_a_tag_that_is_not_the_values_md5_is_not_believed(spool: Spool) -> None:
    class Liar(InMemStorage):
        reads = 0

        async def get(self, key: str) -> bytes | None:
            self.reads += 1
            return await super().get(key)

        async def list_objects(
            self, prefix: str = "", *, after: str | None = None
        ) -> AsyncIterator[ObjectInfo]:
            async for info in super().list_objects(prefix, after=after):
                yield ObjectInfo(info.key, None, "0" * 32)

    storage = Liar(VALUES)
    await Collector(storage, spool, ManualClock()).collect()
    assert storage.reads == 2 * len(VALUES)


class ReadCounting(FileStorage):
    """Counts what was really read."""

    reads = 0

    async def get(self, key: str) -> bytes | None:
        self.reads += 1
        return await super().get(key)


async def files(tmp_path: Path) -> ReadCounting:
    store = ReadCounting.open(tmp_path / "store", fsync=False)
    assert isinstance(store, ReadCounting)
    await store.apply([Put(key, value) for key, value in VALUES.items()])
    return store


async def test_a_file_that_did_not_change_is_read_once(
    tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await files(tmp_path)
    monkeypatch.setattr("time.time_ns", lambda: real_time_ns() + 3 * 10**9)
    collected = await Collector(store, spool, ManualClock()).collect()
    assert collected.passes == 2
    assert store.reads == len(VALUES)
    assert content(spool) == VALUES
    await store.close()


async def test_a_young_file_is_read_again_because_it_may_change_without_a_trace(
    tmp_path: Path, spool: Spool
) -> None:
    store = await files(tmp_path)
    await Collector(store, spool, ManualClock()).collect()
    assert store.reads == 2 * len(VALUES)
    await store.close()


@pytest.mark.parametrize("in_place", [False, True], ids=["renamed over", "written in place"])
async def test_a_file_of_the_same_size_that_changed_between_two_passes_is_read_again(
    tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    store = await files(tmp_path)
    monkeypatch.setattr("time.time_ns", lambda: real_time_ns() + 3 * 10**9)
    file = tmp_path / "store" / "_k05"

    def change(report: PassReport) -> None:
        if report.number == 1:
            other = file.read_bytes().replace(b64encode(VALUES["k05"]), b64encode(b"!"))
            target = file if in_place else tmp_path / "other"
            target.write_bytes(other)
            target.rename(file)

    collected = await Collector(store, spool, ManualClock(), on_pass=change).collect()
    assert collected.passes == 3
    assert content(spool) == {**VALUES, "k05": b"!"}
    await store.close()
