"""The folder with the fetched files.

What lives here: writing one, finding one. What never does: a name from outside: a file is called
what its content's SHA-256 is.
Invariant: under its name a file is whole and on the disk; what is not yet is called ``incoming-…``
and is removed when its writer fails, or by the next start.
"""

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_INCOMING = "incoming-"
_STALE_SECONDS = 3600.0
_NAME = re.compile(r"[0-9a-f]{64}")


class Incoming:
    """A file that is being written; every method blocks."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._file = os.fdopen(descriptor, "wb")
        self._path = path
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes) -> None:
        """Add to it."""
        self._digest.update(piece)
        self.size += len(piece)
        self._file.write(piece)

    def keep(self, folder: Path) -> str:
        """From now on it is there; its SHA-256."""
        self._file.flush()
        os.fsync(self._file.fileno())
        name = self._digest.hexdigest()
        place = folder / name[:2]
        place.mkdir(mode=0o700, exist_ok=True)
        self._path.replace(place / name)
        for directory in (place, folder):
            _sync(directory)
        return name

    def drop(self) -> None:
        """Close it; without ``keep`` nothing of it stays."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)


class Folder:
    """All files of one service."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make it, try it, remove what writers left that died. Raises OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self.path.glob(f"{_INCOMING}*"):
            with contextlib.suppress(FileNotFoundError):  # its writer, or another start, was first
                if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                    left.unlink()
        with self.incoming():
            pass

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A new file, readable for its owner only. Raises OSError."""
        descriptor, name = tempfile.mkstemp(prefix=_INCOMING, dir=self.path)
        made = Incoming(descriptor, Path(name))
        try:
            yield made
        finally:
            made.drop()

    def file(self, sha256: str) -> Path | None:
        """The file with this content, if it is there."""
        if not _NAME.fullmatch(sha256):
            return None
        path = self.path / sha256[:2] / sha256
        return path if path.is_file() else None


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
