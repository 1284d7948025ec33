"""The journal: what a run was about to do, did, and how to put it back.

What lives here: the file (JSON lines, one record a line), its lock and its checks. What never does:
what a record means (``ledger.py``).
Invariants: a record is on disk before ``append`` returns (fsync); records are chained by digests,
so a line that was altered or dropped is noticed; a torn last line is as if it had not been written;
a journal of a newer format is refused; one operator at a time (flock); no secret can be written,
because a Secret is no JSON.
Format (docs/formats/journal.md)::

    {"v":1,"run":"r...","at":"2026-...Z","kind":"intent","step":"fence","data":{},"chain":"16 hex"}
"""

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

from zvault.base import gotime
from zvault.base.atomic_file import fsync_directory
from zvault.ops.migration.errors import (
    JournalCorruptError,
    JournalTooNewError,
    SecondOperatorError,
)

FORMAT = 1
_START = "0" * 16
_BEGIN = b'{"v":'


@dataclass(frozen=True, slots=True)
class Record:
    """One line. ``kind``: begin, undo, intent, outcome, held, abort, undone, end."""

    run: str
    at_ns: int
    kind: str
    step: str
    data: dict[str, Any]


class JournalFile(Protocol):
    """Bytes that only grow. Tests put a file behind it that forgets what was not synced."""

    def read(self) -> bytes: ...
    def truncate(self, size: int) -> None: ...
    def append(self, line: bytes) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class DiskJournalFile:
    """The real file, locked for one operator. Mode 0600."""

    def __init__(self, path: Path) -> None:
        created = not path.exists()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise SecondOperatorError(
                f"another zvault holds the journal {path}",
                hint="wait for it, or look for it with `zvault status`",
            ) from None
        if created:
            fsync_directory(path.parent)

    def read(self) -> bytes:
        """Everything."""
        return os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)

    def truncate(self, size: int) -> None:
        """Drop what lies behind ``size``."""
        os.ftruncate(self._descriptor, size)

    def append(self, line: bytes) -> None:
        """Add at the end; not durable yet."""
        view = memoryview(line)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        """Durable on return."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._descriptor)


class PlannedJournalFile:
    """The journal of somebody who only plans: read, never locked, never written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> bytes:
        """What is whole; a line that another operator is writing does not count."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return b""
        return content[: content.rfind(b"\n") + 1]

    def truncate(self, size: int) -> None:
        """A planner mends nothing."""

    def append(self, line: bytes) -> None:
        """Raises AssertionError: a plan has no effects."""
        raise AssertionError("a plan must not write the journal")

    def sync(self) -> None:
        """Nothing was written."""

    def close(self) -> None:
        """Nothing is held."""


class Journal:
    """Reads at once, appends durably."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        content = file.read()
        records, self._chain, good = _parse(content)
        self._records = list(records)
        self._size = good
        self._broken = False
        if good != len(content):
            file.truncate(good)
            file.sync()

    @classmethod
    def open(cls, path: Path) -> "Journal":
        """The journal at ``path``, locked.

        Raises SecondOperatorError, JournalCorruptError, JournalTooNewError, OSError.
        """
        file = DiskJournalFile(path)
        try:
            return cls(file)
        except BaseException:
            file.close()
            raise

    @property
    def records(self) -> Sequence[Record]:
        """All records, oldest first."""
        return self._records

    def append(self, record: Record) -> None:
        """Write one record; durable on return.

        Raises OSError. What a full disk let through of the line is taken out again, so that the
        next record does not follow half a line; when that fails, nothing more is written.
        """
        if self._broken:
            raise OSError(errno.EIO, "the journal could not be written before")
        body = _body(record)
        chain = _link(self._chain, body)
        line = orjson.dumps({**body, "chain": chain}) + b"\n"
        try:
            self._file.append(line)
            self._file.sync()
        except OSError:
            self._forget_tail()
            raise
        self._size += len(line)
        self._chain = chain
        self._records.append(record)

    def close(self) -> None:
        """Let go of the lock."""
        self._file.close()

    def _forget_tail(self) -> None:
        self._broken = True
        with contextlib.suppress(OSError):
            self._file.truncate(self._size)
            self._file.sync()
            self._broken = False


def read_journal(path: Path) -> list[Record]:
    """All records without the lock; empty when there is no journal. For status."""
    return list(_parse(PlannedJournalFile(path).read())[0])


def _parse(content: bytes) -> tuple[list[Record], str, int]:
    """Records, the last link, and how many bytes of ``content`` are whole."""
    records: list[Record] = []
    chain, good = _START, 0
    lines = list(_lines(content))
    for number, (line, end) in enumerate(lines, 1):
        parsed = _parse_line(line, chain, number)
        if parsed is None:
            if number == len(lines) and _may_be_torn(line):
                break
            raise _altered(number)
        record, chain = parsed
        records.append(record)
        good = end
    return records, chain, good


def _lines(content: bytes) -> Iterator[tuple[bytes, int]]:
    start = 0
    while start < len(content):
        end = content.find(b"\n", start)
        if end < 0:
            yield content[start:], len(content)
            return
        yield content[start : end + 1], end + 1
        start = end + 1


def _parse_line(line: bytes, chain: str, number: int) -> tuple[Record, str] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        body = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    try:
        version = body["v"]
        link = body.pop("chain")
    except (KeyError, TypeError, AttributeError):
        raise _altered(number) from None
    if isinstance(version, int) and version > FORMAT:
        raise JournalTooNewError(
            f"line {number} of the journal has format {version}, newer than {FORMAT}",
            hint="use the zvault that wrote it",
        )
    if link != _link(chain, body):
        # Whole and well-formed, yet not what was written: no torn write looks like this.
        raise _altered(number)
    record = Record(
        body["run"], gotime.parse_time(body["at"]), body["kind"], body["step"], body["data"]
    )
    return record, link


def _may_be_torn(line: bytes) -> bool:
    """Whether a cut-off write can have left this: the begin of a record, or a block never written.

    Anything else at the end was put there by somebody, and dropping it could drop an open run.
    """
    return line.startswith((_BEGIN, b"\0")) or _BEGIN.startswith(line)


def _altered(number: int) -> JournalCorruptError:
    return JournalCorruptError(
        f"line {number} of the journal was altered or damaged",
        hint="restore the journal from a copy; nothing was changed",
    )


def _body(record: Record) -> dict[str, Any]:
    return {
        "v": FORMAT,
        "run": record.run,
        "at": gotime.format_time(record.at_ns),
        "kind": record.kind,
        "step": record.step,
        "data": record.data,
    }


def _link(previous: str, body: dict[str, Any]) -> str:
    text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(previous.encode() + text).hexdigest()[:16]
