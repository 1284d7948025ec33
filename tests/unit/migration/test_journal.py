"""Laws of the journal: durable before it is believed, torn tails forgotten, damage refused."""

import errno
import os
from pathlib import Path

import orjson
import pytest

from zvault.base.secret import Secret
from zvault.ops.migration.errors import (
    JournalCorruptError,
    JournalTooNewError,
    SecondOperatorError,
)
from zvault.ops.migration.journal import (
    DiskJournalFile,
    Journal,
    PlannedJournalFile,
    Record,
    read_journal,
)


def record(n: int, kind: str = "intent") -> Record:
    return Record("r1", 1_800_000_000_000_000_000 + n, kind, f"step-{n}", {"n": n})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "journal.jsonl"
    journal = Journal.open(place)
    for n in range(3):
        journal.append(record(n))
    journal.close()
    return place


def test_what_was_appended_is_read_again(path: Path) -> None:
    assert read_journal(path) == [record(n) for n in range(3)]
    journal = Journal.open(path)
    journal.append(record(3))
    journal.close()
    assert read_journal(path) == [record(n) for n in range(4)]


def test_the_file_is_private(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_journal_is_no_record(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "none") == []


def test_a_torn_last_line_is_forgotten_at_every_length(path: Path) -> None:
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for cut in range(last, len(whole)):
        path.write_bytes(whole[:cut])
        journal = Journal.open(path)
        assert list(journal.records) == [record(0), record(1)]
        journal.append(record(2))
        journal.close()
        assert path.read_bytes() == whole


def test_a_last_line_of_zeros_is_forgotten(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(200) + b"\n")
    journal = Journal.open(path)
    assert len(journal.records) == 3
    journal.close()
    assert path.read_bytes() == whole


def test_a_flipped_bit_anywhere_is_named_or_forgotten_with_the_last_line(path: Path) -> None:
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for position in range(0, len(whole) - 1, 7):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        try:
            found = read_journal(path)
        except (JournalCorruptError, JournalTooNewError):
            continue
        assert position >= last, f"a flipped bit at {position} was believed"
        assert found == [record(0), record(1)]


def test_a_dropped_line_is_noticed(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    with pytest.raises(JournalCorruptError, match="line 2"):
        read_journal(path)


def test_a_newer_journal_is_refused_with_its_version(path: Path) -> None:
    path.write_bytes(path.read_bytes() + orjson.dumps({"v": 2, "chain": "x"}) + b"\n")
    with pytest.raises(JournalTooNewError, match="format 2"):
        Journal.open(path)


def test_a_second_operator_is_refused_and_the_first_keeps_working(path: Path) -> None:
    first = Journal.open(path)
    with pytest.raises(SecondOperatorError):
        Journal.open(path)
    first.append(record(3))
    first.close()
    Journal.open(path).close()


def test_a_secret_cannot_be_written(path: Path) -> None:
    journal = Journal.open(path)
    with pytest.raises(TypeError):
        journal.append(Record("r1", 1, "undo", "x", {"share": Secret("planted")}))
    journal.close()
    assert b"planted" not in path.read_bytes()


def test_every_append_is_synced_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real_write, real_sync = DiskJournalFile.append, DiskJournalFile.sync
    monkeypatch.setattr(
        DiskJournalFile, "append", lambda s, b: (events.append("write"), real_write(s, b))[1]
    )
    monkeypatch.setattr(DiskJournalFile, "sync", lambda s: (events.append("sync"), real_sync(s))[1])
    journal = Journal.open(tmp_path / "j")
    journal.append(record(0))
    journal.append(record(1))
    journal.close()
    assert events == ["write", "sync", "write", "sync"]


def test_a_planner_reads_beside_an_operator_and_cannot_write(path: Path) -> None:
    operator = Journal.open(path)
    before = path.read_bytes()
    planner = Journal(PlannedJournalFile(path))
    assert len(planner.records) == 3
    with pytest.raises(AssertionError):
        planner.append(record(9))
    operator.close()
    assert path.read_bytes() == before


def test_a_planner_ignores_the_line_that_is_being_written(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"v":1,"half')
    assert len(read_journal(path)) == 3
    assert path.read_bytes().endswith(b"half")


def test_a_full_disk_is_not_success(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("/dev/full is missing")
    file = DiskJournalFile(tmp_path / "j")
    os.dup2(os.open("/dev/full", os.O_RDWR), file._descriptor)
    journal = Journal(file)
    with pytest.raises(OSError, match="No space"):
        journal.append(record(0))
    journal.close()


class FullDisk(DiskJournalFile):
    """Takes half of a line, or the line and not its sync; forgets nothing by itself."""

    def __init__(self, path: Path, fail: str) -> None:
        super().__init__(path)
        self.fail = fail

    def append(self, line: bytes) -> None:
        if self.fail != "append":
            super().append(line)
            return
        super().append(line[: len(line) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    def sync(self) -> None:
        if self.fail == "sync":
            self.fail = ""
            raise OSError(errno.ENOSPC, "No space left on device")
        super().sync()


@pytest.mark.parametrize("fail", ["append", "sync"])
def test_a_line_that_a_full_disk_cut_does_not_spoil_those_after_it(path: Path, fail: str) -> None:
    file = FullDisk(path, "")
    journal = Journal(file)
    file.fail = fail
    with pytest.raises(OSError, match="No space"):
        journal.append(record(3))
    file.fail = ""
    journal.append(record(4, "abort"))
    journal.append(record(5, "undone"))
    journal.close()
    assert read_journal(path) == [*(record(n) for n in range(3)), *journal.records[3:]]
    assert [seen.kind for seen in journal.records[3:]] == ["abort", "undone"]


def test_a_journal_that_could_not_be_mended_is_not_written_again(path: Path) -> None:
    whole = path.read_bytes()

    class Dead(FullDisk):
        def truncate(self, size: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

    file = Dead(path, "append")
    journal = Journal(file)
    with pytest.raises(OSError, match="No space"):
        journal.append(record(3))
    file.fail = ""
    with pytest.raises(OSError, match="could not be written before"):
        journal.append(record(4))
    journal.close()
    Journal.open(path).close()
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "tail", [b"\n", b"{}\n", b"[]\n", b"junk", b"junk\n", b'{"w":1', b" " * 40, b"null\n"]
)
def test_what_no_cut_off_write_leaves_at_the_end_is_named_and_stays(
    path: Path, tail: bytes
) -> None:
    with path.open("ab") as file:
        file.write(tail)
    content = path.read_bytes()
    with pytest.raises(JournalCorruptError, match="line 4 of the journal"):
        Journal.open(path)
    assert path.read_bytes() == content


def test_a_journal_that_was_written_over_is_not_an_empty_one(path: Path) -> None:
    path.write_bytes(b"\x8f" * 200)
    with pytest.raises(JournalCorruptError):
        Journal.open(path)
    assert path.read_bytes() == b"\x8f" * 200
