"""Comparing and copying: what counts, what is named, what is left out."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from zvault.base.clock import ManualClock
from zvault.base.errors import PreconditionError
from zvault.storage.api import Delete, Operation, Put
from zvault.storage.compare import compare_stores, describe
from zvault.storage.copy import Progress, copy_store, sync_store
from zvault.storage.copy_journal import CopyJournal
from zvault.storage.errors import CopyProofError, CorruptEntryError, EmptySourceError
from zvault.storage.file import FileStorage
from zvault.storage.inmem import InMemStorage
from zvault.storage.pairing import Judged, Verdict
from zvault.storage.transfer import Deed, Outcome, Tally, decide


async def test_every_kind_of_difference_is_named_and_nothing_else() -> None:
    a = InMemStorage({"same": b"1", "diff": b"2", "only/a": b"3", "core/lock": b"x", "empty": b""})
    b = InMemStorage({"same": b"1", "diff": b"22", "only/b": b"4", "core/leader/u": b"y"})
    found = await compare_stores(a, b)
    assert (found.missing_in_b, found.extra_in_b, found.differing) == (
        ("empty", "only/a"), ("only/b",), ("diff",)
    )  # fmt: skip
    assert (found.skipped, found.compared, found.equal) == (2, 2, False)
    said = describe(found)
    assert "2 missing ('empty', 'only/a')" in said
    assert "1 extra ('only/b')" in said


async def test_stores_that_differ_only_in_what_a_copy_leaves_behind_are_equal() -> None:
    a = InMemStorage({"x": b"1", "core/migration": b"{}", "core/lock": b"1"})
    b = InMemStorage({"x": b"1", "core/initialize-lock": b"2"})
    found = await compare_stores(a, b)
    assert found.equal
    assert (found.skipped, found.compared, found.proof) == (3, 1, "read-back")


def test_a_long_list_of_differences_is_cut_and_counted() -> None:
    from zvault.storage.compare import Comparison

    said = describe(Comparison(missing_in_b=tuple(f"k{n}" for n in range(100))))
    assert said.startswith("100 missing ('k0'")
    assert said.endswith(", …)")
    assert "k9" not in said


async def test_strays_and_torn_leftovers_are_named_and_no_difference(tmp_path: Path) -> None:
    store = FileStorage.open(tmp_path)
    await store.apply([Put("sys/x", b"1")])
    (tmp_path / "sys/_x.temp").write_bytes(b'{"Value":"M')
    (tmp_path / "sys/stray").write_text("hello")
    found = await compare_stores(store, InMemStorage({"sys/x": b"1"}))
    assert found.equal
    assert found.foreign_a == ("sys/stray", "sys/x.temp")
    report = await copy_store(store, InMemStorage(url="inmem:b"))
    assert (report.entries, report.foreign) == (1, ("sys/stray", "sys/x.temp"))
    await store.close()


async def test_a_whole_entry_whose_name_looks_like_a_leftover_is_copied_and_named(
    tmp_path: Path,
) -> None:
    store = FileStorage.open(tmp_path)
    await store.apply([Put("logical/u/backup.temp", b"a user's key"), Put("a", b"1")])
    destination = InMemStorage()
    report = await copy_store(store, destination)
    assert await destination.get("logical/u/backup.temp") == b"a user's key"
    assert (report.entries, report.leftovers) == (2, ("logical/u/backup.temp",))
    await store.close()


async def test_a_corrupt_entry_stops_a_copy_and_a_compare_and_is_named(tmp_path: Path) -> None:
    writer = FileStorage.open(tmp_path)
    await writer.apply([Put("core/keyring", b"1"), Put("z", b"2")])
    await writer.close()
    (tmp_path / "core/_keyring").write_bytes(b'{"Value":"MQ')
    store, destination = FileStorage.open(tmp_path, read_only=True), InMemStorage()
    with pytest.raises(CorruptEntryError, match="core/keyring"):
        await copy_store(store, destination)
    with pytest.raises(CorruptEntryError, match="core/keyring"):
        await sync_store(store, destination)
    with pytest.raises(CorruptEntryError, match="core/keyring"):
        await compare_stores(store, destination)


async def test_an_empty_source_is_hardly_meant_and_never_empties_a_destination() -> None:
    destination = InMemStorage({"precious": b"1"})
    with pytest.raises(EmptySourceError):
        await copy_store(InMemStorage(url="inmem:a"), InMemStorage())
    with pytest.raises(EmptySourceError):
        await sync_store(InMemStorage(url="inmem:a"), destination)
    assert await destination.get("precious") == b"1"


async def test_a_copy_into_a_folder_of_its_source_is_refused(tmp_path: Path) -> None:
    source = FileStorage.open(tmp_path)
    await source.apply([Put("a", b"1")])
    inside = FileStorage.open(tmp_path / "inside")
    with pytest.raises(PreconditionError, match="overlap"):
        await copy_store(source, inside)
    await inside.close()
    await source.close()


async def test_a_link_does_not_hide_that_a_destination_lies_in_its_source(tmp_path: Path) -> None:
    source = FileStorage.open(tmp_path / "a")
    await source.apply([Put("a", b"1")])
    (tmp_path / "link").symlink_to("a")
    inside = FileStorage.open(tmp_path / "link" / "inside")
    with pytest.raises(PreconditionError, match="overlap"):
        await copy_store(source, inside)
    with pytest.raises(PreconditionError, match="overlap"):
        await sync_store(source, inside)
    await inside.close()
    await source.close()


async def test_a_migration_mark_in_the_destination_is_allowed_and_stays() -> None:
    destination = InMemStorage({"core/migration": b"mark"})
    await copy_store(InMemStorage({"a": b"1", "core/migration": b"other"}, url="x:"), destination)
    assert await destination.get("core/migration") == b"mark"


class Watched(InMemStorage):
    """Notes the order of puts; runs ``then`` after the n-th."""

    def __init__(self) -> None:
        super().__init__(url="inmem:watched")
        self.puts: list[str] = []

    async def apply(self, operations: list[Operation]) -> None:  # type: ignore[override]
        self.puts += [operation.key for operation in operations]
        await super().apply(operations)


async def test_the_keyring_is_written_last_so_a_half_copy_is_no_vault() -> None:
    values = {f"core/{n}": b"1" for n in range(30)} | {"core/keyring": b"k", "zz": b"z"}
    destination = Watched()
    await copy_store(InMemStorage({**values, "core/seal-config": b"{}"}), destination)
    assert destination.puts[-2:] == ["core/seal-config", "core/keyring"]


async def test_a_serving_source_is_copied_again_until_each_entry_was_seen_equal() -> None:
    class Serving(InMemStorage):
        reads = 0

        async def get(self, key: str) -> bytes | None:
            self.reads += 1
            value = await super().get(key)
            if self.reads == 10:
                await self.apply([Put("k/03", b"changed"), Delete("k/05"), Put("k/99", b"new")])
            return value

    source = Serving({f"k/{n:02}": b"1" for n in range(12)}, url="inmem:a")
    destination = InMemStorage()
    report = await copy_store(source, destination, source_may_change=True, parallel=1)
    assert report.retransmitted == 2, "k/99 was met by the first pass"
    assert (await compare_stores(source, destination)).equal
    assert report.entries == 12


async def test_a_source_that_changes_during_a_plain_copy_is_no_proof() -> None:
    class Changing(InMemStorage):
        reads = 0

        async def get(self, key: str) -> bytes | None:
            self.reads += 1
            value = await super().get(key)
            if self.reads == 5:
                await self.apply([Put("k/01", b"changed")])
            return value

    source = Changing({f"k/{n:02}": b"1" for n in range(8)}, url="inmem:a")
    with pytest.raises(CopyProofError, match="'k/01'"):
        await copy_store(source, InMemStorage(), parallel=1)


async def test_progress_is_told_in_between_and_at_the_end() -> None:
    clock, told = ManualClock(), list[Progress]()

    class Slow(InMemStorage):
        async def apply(self, operations: list[Operation]) -> None:  # type: ignore[override]
            clock.advance(0.3)
            await super().apply(operations)

    source = InMemStorage({f"k/{n}": b"123" for n in range(10)})
    report = await copy_store(
        source, Slow(url="inmem:b"), on_progress=told.append, clock=clock, parallel=1
    )
    assert [p.entries for p in told] == sorted(p.entries for p in told)
    assert len(told) >= 5
    assert (told[-1].entries, told[-1].bytes) == (10, 30)
    assert told[-1].entries_per_second == pytest.approx(10 / 3, rel=0.01)
    assert report.seconds == pytest.approx(3.0, rel=0.01)


async def test_a_delta_writes_what_changed_deletes_what_is_gone_and_touches_nothing_else() -> None:
    source = InMemStorage({"same": b"1", "new": b"2", "changed": b"3"}, url="inmem:a")
    destination = Watched()
    await destination.apply([Put("same", b"1"), Put("changed", b"x"), Put("gone", b"4")])
    await destination.apply([Put("core/lock", b"theirs")])
    destination.puts.clear()
    report = await sync_store(source, destination)
    assert sorted(destination.puts) == ["changed", "gone", "new"]
    assert (report.written, report.deleted, report.kept, report.skipped) == (2, 1, 1, 1)
    assert await destination.get("core/lock") == b"theirs"
    assert (await sync_store(source, destination)).written == 0


@pytest.mark.parametrize(
    ("verdict", "deed"),
    [
        (Verdict.EQUAL, Deed.KEPT),
        (Verdict.ONLY_A, Deed.WRITTEN),
        (Verdict.DIFFERENT, Deed.WRITTEN),
        (Verdict.ONLY_B, Deed.DELETED),
        (Verdict.NEITHER, Deed.FOREIGN),
    ],
)
def test_the_decision_depends_on_the_verdict_alone(verdict: Verdict, deed: Deed) -> None:
    assert decide(Judged("k", verdict)) is deed


def test_a_tally_counts_each_deed_once() -> None:
    tally = Tally()
    for deed in Deed:
        tally = tally.plus(Outcome("k", deed, 5, read_back=True))
    assert (tally.kept, tally.written, tally.deleted, tally.skipped) == (1, 1, 1, 1)
    assert (tally.entries, tally.bytes, tally.read_back, tally.foreign) == (2, 10, 2, ("k",))


async def test_an_entry_altered_on_disk_right_after_its_write_is_found_by_the_proof(
    tmp_path: Path,
) -> None:
    class Sabotaged(FileStorage):
        async def apply(self, operations: Sequence[Operation]) -> None:
            await super().apply(operations)
            if operations[0].key == "k/3":
                (tmp_path / "b/k/_3").write_bytes(b'{"Value":"eA=="}\n')

    source = InMemStorage({f"k/{number}": b"1" for number in range(9)}, url="inmem:a")
    destination = Sabotaged.open(tmp_path / "b")
    with pytest.raises(CopyProofError, match="'k/3'"):
        await copy_store(source, destination)
    with pytest.raises(CopyProofError, match="'k/3'"):
        await sync_store(source, destination)
    await destination.close()


async def test_a_file_copy_is_byte_for_byte_the_tree_it_came_from(tmp_path: Path) -> None:
    source = FileStorage.open(tmp_path / "a")
    for number in range(50):
        await source.apply([Put(f"x/{number % 7}/{number}", os.urandom(number * 10))])
    destination = FileStorage.open(tmp_path / "b")
    await copy_store(source, destination)
    await source.close()
    await destination.close()
    trees = [
        {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (tmp_path / "a", tmp_path / "b")
    ]
    assert trees[0] == trees[1]
    assert len(trees[0]) == 50


def test_every_line_of_a_copys_journal_is_durable_before_the_copy_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = CopyJournal.open(tmp_path / "j", source="a", destination="b")
    events: list[str] = []
    write, sync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda fd, line: (events.append("write"), write(fd, line))[1])
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("sync"), sync(fd))[1])
    journal.begin()
    journal.reached("k", 1, 2)
    journal.finishing()
    journal.done(1, 2)
    journal.close()
    assert events == ["write", "sync"] * 4
