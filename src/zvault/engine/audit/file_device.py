"""One audit file: opened for appending, written whole lines at a time, reopened on demand.

What lives here: the file descriptor and what happens when writing fails. What never does: what a
line says.
Invariants: a record never starts in the middle of a line that an earlier failed write left behind;
a write that fails is tried once more on a freshly opened file; ``reopen`` keeps the old file when
the new one cannot be opened.
Source of the options' meaning: Vault's file audit device (``docs/formats/audit.md``).
"""

import os
import stat
import sys
from pathlib import Path

from zvault.engine.audit.device import AuditWriteError
from zvault.engine.audit.options import DISCARD, FileOptions

# O_NONBLOCK means nothing to a file; a pipe without a reader becomes an error, not a hung server.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_DIRECTORY_MODE = 0o700


class FileDevice:
    """Writes bytes to the file that the options name."""

    def __init__(self, options: FileOptions) -> None:
        self._options = options
        self._descriptor: int | None = None
        self._owned = True
        self._torn = False

    def open(self) -> None:
        """Open (and create) the file. Raises AuditWriteError."""
        if self._descriptor is None:
            self._descriptor = self._fresh()

    def close(self) -> None:
        """Let go of the file; a later write opens it again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and descriptor >= 0 and self._owned:
            os.close(descriptor)

    def reopen(self) -> None:
        """Open the path anew (log rotation). Raises AuditWriteError; the old file is then kept."""
        descriptor = self._fresh()
        self.close()
        self._descriptor = descriptor
        self._torn = False

    def write(self, lines: bytes) -> None:
        """Append whole lines; one retry on a freshly opened file. Raises AuditWriteError."""
        try:
            self._write_once(lines)
        except OSError:
            self.close()
            self.open()
            try:
                self._write_once(lines)
            except OSError as error:
                raise AuditWriteError(
                    f"cannot write the audit file {self._options.file_path}: {error.strerror}",
                    hint="free space or correct the file's permissions",
                ) from None

    def _write_once(self, lines: bytes) -> None:
        if self._descriptor is None:
            self._descriptor = self._fresh()
        if self._descriptor < 0:
            return
        if self._torn:
            lines = b"\n" + lines
        written = 0
        try:
            while written < len(lines):
                # Blocking by intent: an audited answer must not overtake its record.
                written += os.write(self._descriptor, lines[written:] if written else lines)
        finally:
            if written:
                self._torn = written < len(lines)

    def _fresh(self) -> int:
        if self._options.file_path == DISCARD:
            return -1
        path = self._options.path
        if path is None:
            self._owned = False
            return _stdout()
        try:
            return _open_append(path, self._options.mode)
        except OSError as error:
            raise AuditWriteError(
                f"sanity check failed; unable to open {self._options.file_path!r} for writing: "
                f"{error.strerror}",
                hint="name a file in a directory that the server may write to",
            ) from None


def _stdout() -> int:
    sys.stdout.flush()
    return sys.stdout.fileno()


def _open_append(path: Path, mode: int) -> int:
    path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    descriptor = os.open(path, _FLAGS, mode or 0o600)
    try:
        status = os.fstat(descriptor)
        if mode and stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) != mode:
            os.fchmod(descriptor, mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
