"""The writes of the file backend, one method an effect, so that tests can stop between two.

What lives here: the seam and the real thing. What never does: order or meaning; that is
``file_commit.py``. Every method raises OSError.
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
        """Make a new 0600 file with this content; not durable."""
        ...

    def sync(self, paths: Sequence[str]) -> None:
        """Make the content of these files, or the entries of these folders, durable."""
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
    """The machine's file system. ``durable=False`` leaves out every sync (benchmarks only)."""

    def __init__(self, root: str, *, durable: bool = True) -> None:
        self._durable = durable
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._pool: ThreadPoolExecutor | None = None
        self._one_by_one_until = 0.0

    def create(self, path: str, content: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, _PRIVATE_FILE)
        try:
            written = os.write(descriptor, content)
            while written < len(content):
                written += os.write(descriptor, content[written:])
        finally:
            os.close(descriptor)

    def sync(self, paths: Sequence[str]) -> None:
        if not self._durable or not paths:
            return
        if len(paths) >= _SYNC_ALL_FROM and time.monotonic() >= self._one_by_one_until:
            self._sync_all()
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
        os.unlink(path)  # noqa: PTH108

    def remove_folder(self, path: str) -> None:
        os.rmdir(path)  # noqa: PTH106

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        with contextlib.suppress(OSError):
            os.close(self._root)

    def _sync_all(self) -> None:
        """One syncfs; when other programs' dirty pages make it slow, go one by one for a while."""
        start = time.monotonic()
        if _LIBC.syncfs(self._root) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
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
