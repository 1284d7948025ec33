"""The writes of the file backend, one method an effect, so that tests can stop between two.

What lives here: the seam and the real thing. What never does: order or meaning; that is
``file_commit.py`` and ``file_logged.py``. Every method raises OSError.
"""

import contextlib
import ctypes
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700
_SYNC_THREADS = 8
_SYNC_ALL_FROM = 4
"""From this many paths on, one syncfs beats one fsync each (measured, docs/formats/storage.md)."""
_SLOW_SYNC_SECONDS = 0.2
_SLOW_SYNC_PAUSE_SECONDS = 10.0


class FileSystem(Protocol):
    """What the committer does to a disk. Paths are absolute."""

    def create(self, path: str, content: bytes) -> None:
        """Make a new 0600 file with this content, or none; not durable."""
        ...

    def sync(self, paths: Sequence[str]) -> None:
        """Make the content of these files, or the entries of these folders, durable."""
        ...

    def sync_all(self) -> None:
        """Make everything durable that was done to the root's file system."""
        ...

    def write_at(self, path: str, offset: int, content: bytes) -> None:
        """Write into a 0600 file, made when absent; not durable."""
        ...

    def sync_data(self, path: str) -> None:
        """Make what ``write_at`` wrote to this file durable, its size included."""
        ...

    def rename(self, source: str, target: str) -> None:
        """Put ``source`` in the place of ``target``."""
        ...

    def make_folder(self, path: str) -> None:
        """Make one 0700 folder."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file."""
        ...

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""
        ...

    def close(self) -> None:
        """Let go of threads and descriptors."""
        ...


class PosixFileSystem:
    """The machine's file system. ``durable=False`` leaves out every sync."""

    def __init__(self, root: str, *, durable: bool = True) -> None:
        self._durable = durable
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._pool: ThreadPoolExecutor | None = None
        self._one_by_one_until = 0.0
        self._open: dict[str, int] = {}
        """Files that ``write_at`` writes to, kept open."""

    def create(self, path: str, content: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, _PRIVATE_FILE)
        try:
            written = os.write(descriptor, content)
            while written < len(content):
                written += os.write(descriptor, content[written:])
        except OSError:
            os.unlink(path)  # noqa: PTH108
            raise
        finally:
            os.close(descriptor)

    def write_at(self, path: str, offset: int, content: bytes) -> None:
        descriptor = self._open.get(path)
        if descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = self._open[path] = os.open(path, flags, _PRIVATE_FILE)
        written = os.pwrite(descriptor, content, offset)
        while written < len(content):
            written += os.pwrite(descriptor, content[written:], offset + written)

    def sync_data(self, path: str) -> None:
        if self._durable:
            os.fdatasync(self._open[path])

    def sync(self, paths: Sequence[str]) -> None:
        if not self._durable or not paths:
            return
        if len(paths) >= _SYNC_ALL_FROM and time.monotonic() >= self._one_by_one_until:
            self._sync_all_for_few()
        elif len(paths) == 1:
            _fsync(paths[0])
        else:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_SYNC_THREADS, "zvault-fsync")
            list(self._pool.map(_fsync, paths))

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)  # noqa: PTH104 (Path costs more than the call)

    def make_folder(self, path: str) -> None:
        os.mkdir(path, _PRIVATE_FOLDER)  # noqa: PTH102

    def remove(self, path: str) -> None:
        descriptor = self._open.pop(path, None)
        if descriptor is not None:
            os.close(descriptor)
        os.unlink(path)  # noqa: PTH108

    def remove_folder(self, path: str) -> None:
        os.rmdir(path)  # noqa: PTH106

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        for descriptor in (self._root, *self._open.values()):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._open.clear()

    def sync_all(self) -> None:
        if self._durable and _LIBC.syncfs(self._root) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def _sync_all_for_few(self) -> None:
        """One syncfs; when other programs' dirty pages make it slow, go one by one for a while."""
        start = time.monotonic()
        self.sync_all()
        now = time.monotonic()
        if now - start > _SLOW_SYNC_SECONDS:
            self._one_by_one_until = now + _SLOW_SYNC_PAUSE_SECONDS


_LIBC = ctypes.CDLL(None, use_errno=True)


def _fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
