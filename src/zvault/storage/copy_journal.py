"""The journal of one copy: permission to go on in a destination that is not empty any more.

What lives here: JSON lines, each fsynced: a header with both URLs, how far the copy is, that the
last keys are being written, that it is done; after that the header of the next copy may follow.
What never does: deciding what is left to copy; that is looked up in the destination. One process at
a time has it open (flock).
Invariant: a file that is no journal of this copy is left exactly as it is.
"""

import contextlib
import errno
import fcntl
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zvault.base.atomic_file import fsync_directory
from zvault.storage.errors import CopyJournalError, StoreLockedError

VERSION = 1
_FORMAT = "zvault_copy_journal"


@dataclass(frozen=True, slots=True)
class JournalState:
    """What an earlier run left. ``cursor``: every key up to it was acknowledged."""

    begun: bool = False
    cursor: str = ""
    entries: int = 0
    finishing: bool = False
    done: bool = False


class CopyJournal:
    """An open journal file. Every method but ``open`` returns after an fsync."""

    def __init__(
        self, path: Path, descriptor: int, header: dict[str, Any], state: JournalState
    ) -> None:
        self._path = path
        self._descriptor = descriptor
        self._header = header
        self.state = state

    @classmethod
    def open(cls, path: Path, *, source: str, destination: str) -> "CopyJournal":
        """Open or make the journal and read what it says.

        Raises CopyJournalError (another copy's, newer, damaged, unwritable), StoreLockedError.
        """
        header = {_FORMAT: VERSION, "source": source, "destination": destination}
        descriptor = _open_file(path)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreLockedError(f"the copy journal {path}", "another copy") from None
            with os.fdopen(os.dup(descriptor), "rb") as file:
                content = file.read()
            whole = content.rfind(b"\n") + 1
            if not whole and not _line(header).startswith(content):
                raise _no_journal(path)
            state = _parse(path, content[:whole], header)
            os.ftruncate(descriptor, whole)  # a line of ours cut off by a kill says nothing
            fsync_directory(path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, header, state)

    def begin(self) -> None:
        """The destination was seen to be empty; from now on what is in it is ours."""
        self._append(self._header)

    def reached(self, cursor: str, entries: int, size: int) -> None:
        """Every key up to ``cursor`` is acknowledged by the destination."""
        self._append({"cursor": cursor, "entries": entries, "bytes": size})

    def finishing(self) -> None:
        """The keys that make the destination a Vault's store are written now."""
        self._append({"finishing": True})

    def done(self, entries: int, size: int) -> None:
        """Proven equal. The journal gives no permission any more."""
        self._append({"done": True, "entries": entries, "bytes": size})

    def close(self) -> None:
        """Let go of the file and its lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, line: dict[str, Any]) -> None:
        text = _line(line)
        size = os.fstat(self._descriptor).st_size
        try:
            if os.write(self._descriptor, text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._descriptor)
        except OSError as cause:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, size)  # half a line would spoil the next one
            raise CopyJournalError(
                f"the copy journal {self._path} cannot be written: {cause.strerror}",
                hint="free space, then run the copy again with the same journal",
            ) from None


def _open_file(path: Path) -> int:
    """A descriptor of the regular file, made when absent. Raises CopyJournalError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as cause:
        raise CopyJournalError(
            f"the copy journal {path} cannot be opened: {cause.strerror}",
            hint="name a file in a directory that exists and is yours",
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_journal(path)
    return descriptor


def _line(fields: dict[str, Any]) -> bytes:
    return (json.dumps(fields, ensure_ascii=True) + "\n").encode()


def _no_journal(path: Path) -> CopyJournalError:
    return CopyJournalError(
        f"{path} is no copy journal", hint="name another file; this one was not touched"
    )


def _parse(path: Path, content: bytes, header: dict[str, Any]) -> JournalState:
    state = JournalState()
    for number, line in enumerate(content.splitlines(), 1):
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            fields = None
        if number == 1 and not isinstance(fields, dict):
            raise _no_journal(path)
        if isinstance(fields, dict) and (number == 1 or (state.done and _FORMAT in fields)):
            _check_header(path, fields, header)
            state = JournalState(begun=True)
        elif isinstance(fields, dict) and _is_step(fields):
            state = _next(state, fields)
        else:
            raise CopyJournalError(
                f"line {number} of the copy journal {path} is damaged",
                hint="look into the destination, empty it and copy anew",
            )
    return state


def _check_header(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    version = found.get(_FORMAT)
    if not isinstance(version, int):
        raise _no_journal(path)
    if version > VERSION:
        raise CopyJournalError(
            f"the copy journal {path} has version {version}, this program knows {VERSION}",
            hint="go on with the newer zvault that wrote it",
        )
    for side in ("source", "destination"):
        if found.get(side) != wanted[side]:
            raise CopyJournalError(
                f"the copy journal {path} is of another copy: its {side} is {found.get(side)}",
                hint="name the journal of this copy, or a new file",
            )


def _is_step(fields: dict[str, Any]) -> bool:
    """True for a line that one of the journal's methods writes."""
    if fields.get("finishing") is True or fields.get("done") is True:
        return True
    return isinstance(fields.get("cursor"), str) and isinstance(fields.get("entries"), int)


def _next(state: JournalState, fields: dict[str, Any]) -> JournalState:
    return JournalState(
        begun=True,
        cursor=fields.get("cursor", state.cursor),
        entries=fields.get("entries", state.entries),
        finishing=state.finishing or bool(fields.get("finishing")),
        done=state.done or bool(fields.get("done")),
    )
