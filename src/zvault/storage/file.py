"""Vault's file backend: a tree of small JSON files, written durably.

What lives here: opening, reading, listing. What never does: names and envelope
(``file_layout.py``), the queue (``file_queue.py``), the order of effects (``file_commit.py``,
``file_logged.py``).

Invariants: one writer holds the directory (``file_lock.py``); our temporary files lie only in
``.zvault-tmp``; what ``apply`` acknowledged survives a power cut; a read never suspends; a store
whose log was not replayed is not handed over (``file_recovery.py``).
"""

import asyncio
import contextlib
import errno
import functools
import itertools
import os
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from zvault.base.atomic_file import PRIVATE_FOLDER_MODE, make_folders
from zvault.storage import keys
from zvault.storage.api import Operation, Put
from zvault.storage.cache import ValueCache
from zvault.storage.errors import (
    CorruptEntryError,
    ReadOnlyStoreError,
    StorageError,
    StoreNotFoundError,
)
from zvault.storage.file_follower import LogFollower
from zvault.storage.file_layout import (
    OUR_NAMES,
    check_file_key,
    child_name,
    decode_entry,
    entry_path,
    is_scratch,
)
from zvault.storage.file_log import is_log_mark
from zvault.storage.file_pending import Overlay
from zvault.storage.file_recovery import refuse_unreplayed
from zvault.storage.file_survey import Stamper, scan
from zvault.storage.file_system import FileSystem
from zvault.storage.file_tree import PROVIDER
from zvault.storage.file_writing import LogOptions, Writer
from zvault.storage.listing import ObjectInfo, Stamp

DEFAULT_CACHE_BYTES = 16 << 20
_MARK_FOLDER = "core/"
_READ_BYTES = 1 << 16
_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
_AT_ONCE = 1_000
"""So many names of a folder are read without letting go of the event loop."""
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ENXIO)


class FileStorage:
    """One directory. Open with ``open``; use from one event loop at a time."""

    def __init__(self, root: Path, cache_bytes: int) -> None:
        self._path = root
        self._root = str(root)
        self._cache = ValueCache(cache_bytes)
        self._writer: Writer | None = None
        self._overlay: Overlay | None = None
        """What is true before the tree is: what our log holds, or a living writer's."""
        self._made: tuple[Path, ...] = ()
        """Folders that opening had to make, outermost first, while nothing was written."""
        self._closed = False
        self._follower: LogFollower | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        read_only: bool = False,
        fsync: bool = True,
        log: LogOptions | None = None,
        cache_bytes: int = 0,
        files: FileSystem | None = None,
    ) -> "FileStorage":
        """Open the store below ``path``.

        For writing the directory is made when absent and locked, and a dead writer's log is
        replayed. For reading it must exist, is not locked, and nothing is cached, so that a serving
        store can be copied. Only a server sets ``cache_bytes`` (``DEFAULT_CACHE_BYTES``): whoever
        proves something reads from the disk; and ``log``: each commit costs one sync, and no other
        server starts on the tree until this one has closed it. ``fsync=False`` syncs nothing: what
        was acknowledged survives a kill and no power cut.
        Raises StoreNotFoundError, StoreLockedError, UnreplayedLogError, DamagedLogError,
        StorageError.
        """
        root = Path(os.path.abspath(path))  # noqa: PTH100 (resolve would follow links)
        with _named(str(root)):
            is_new = not read_only and not root.exists()
            made = make_folders(root, above=PRIVATE_FOLDER_MODE) if is_new else ()
            if not root.is_dir():
                cause = "is no directory" if root.exists() else "does not exist"
                raise StoreNotFoundError(f"{root} {cause}", hint="name the data directory")
        store = cls(root, 0 if read_only else cache_bytes)
        if read_only:
            with _named(str(root)):
                refuse_unreplayed(root)
            store._overlay = store._follower = LogFollower(root)
        else:
            with _named(str(root)):
                store._writer = Writer(root, store._remember, fsync=fsync, log=log, files=files)
            store._overlay, store._made = store._writer.pending, made
        return store

    @property
    def url(self) -> str:
        return f"file:{self._root}"

    @property
    def identity(self) -> str:
        """The place whatever links lead to it."""
        return f"file:{os.path.realpath(self._root)}"

    @property
    def path(self) -> Path:
        """The root directory."""
        return self._path

    @property
    def replayed(self) -> int:
        """Batches that opening brought back from a dead writer's log."""
        return 0 if self._writer is None else self._writer.replayed

    async def get(self, key: str) -> bytes | None:
        value = self._cache.get(key)
        if value is not None:
            return value
        if not keys.is_storable_for_reading(key) or is_scratch(key):
            return None
        awaited = self._awaited(key)
        if awaited is not None:
            return awaited.value if isinstance(awaited, Put) else None
        content = self._read(key)
        if content is None:
            self._refuse_linked_folder(key)
            return None
        try:
            value = decode_entry(content)
        except ValueError as cause:
            raise self._corrupt(key, str(cause)) from None
        if key == keys.MIGRATION_KEY and value is not None and is_log_mark(value):
            return None
        if value is not None:
            self._cache.put(key, value)
        return value

    async def apply(self, operations: Sequence[Operation]) -> None:
        if self._closed:
            raise StorageError("the store is closed", provider=PROVIDER, store=self._root)
        if self._writer is None:
            raise ReadOnlyStoreError(self.url)
        keys.check_operations(operations)
        for operation in operations:
            check_file_key(operation.key)
        self._made = ()
        if operations:
            await self._writer.submit(operations)

    async def list(self, prefix: str) -> list[str]:
        if not keys.check_prefix(prefix) or is_scratch(prefix):
            return []
        overlay = self._present_overlay()
        awaited = () if overlay is None else overlay.changes(prefix[:-1])
        try:
            folder = f"{self._root}/{prefix}"
            names, is_all = _children(folder, prefix, _AT_ONCE)
            if not is_all:
                # Off the loop, and from the beginning: an open scan must not be left to a thread.
                names, _ = await asyncio.to_thread(_children, folder, prefix, sys.maxsize)
        except ValueError:
            return []
        except OSError as cause:
            if cause.errno in _ABSENT and (prefix or cause.errno != errno.ENOENT):
                return []
            raise _error(cause, self._root, prefix) from None
        for operation in awaited:
            name = operation.key[len(prefix) :]
            (names.add if isinstance(operation, Put) else names.discard)(name)
        if prefix in ("", _MARK_FOLDER):
            await self._hide_mark(prefix, names)
        if len(names) > _AT_ONCE:
            return await asyncio.to_thread(sorted, names)
        return sorted(names)

    async def close(self) -> None:
        """Also removes the root again when opening made it and nothing was written."""
        self._closed = True
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await writer.close(self._made)

    async def _hide_mark(self, prefix: str, names: set[str]) -> None:
        """The log's own mark is no entry, and no entry is no reason for a folder."""
        mark = keys.MIGRATION_KEY
        is_there = os.path.lexists(f"{self._root}/{entry_path(mark)}")
        if not is_there or await self.get(mark) is not None:
            return
        if prefix:
            names.discard(mark.removeprefix(prefix))
        elif not await self.list(_MARK_FOLDER):
            names.discard(_MARK_FOLDER)

    def stamp(self, key: str) -> Stamp | None:
        """See ``file_survey.py``; every write, ours or a real server's, changes it.

        An entry on its way into the tree has none.
        """
        if self._awaited(key) is not None:
            return None
        now_ns = time.time_ns()
        try:
            found = os.lstat(f"{self._root}/{entry_path(key)}")
        except (OSError, ValueError):
            return None
        return self._stamper.stamp(found, now_ns)

    async def survey(self, known: Collection[str]) -> dict[str, ObjectInfo]:
        """Every key with its stamp. Raises StorageError, DamagedLogError."""
        awaited = [] if (overlay := self._present_overlay()) is None else overlay.everything()
        try:
            found = await asyncio.to_thread(scan, self._root, self._stamper)
        except OSError as cause:
            raise _error(cause, self._root, "") from None
        for operation in awaited:
            if isinstance(operation, Put):
                found[operation.key] = ObjectInfo(operation.key)
            else:
                found.pop(operation.key, None)
        if keys.MIGRATION_KEY in found and await self.get(keys.MIGRATION_KEY) is None:
            del found[keys.MIGRATION_KEY]  # the log's own mark
        return found

    @functools.cached_property
    def _stamper(self) -> Stamper:
        return Stamper(self._root)

    def _present_overlay(self) -> Overlay | None:
        """The overlay as it is now. Look there first, for entries leave when the tree has them."""
        if self._follower is not None:
            with _named(self._root):
                self._follower.refresh()
        return self._overlay

    def _awaited(self, key: str) -> Operation | None:
        """The last word on ``key`` that the tree may not have yet."""
        overlay = self._present_overlay()
        return None if overlay is None else overlay.find(key)

    def _remember(self, operations: Sequence[Operation], happened: bool) -> None:
        for operation in operations:
            if happened and isinstance(operation, Put):
                self._cache.put(operation.key, operation.value)
            else:
                self._cache.drop(operation.key)

    def _read(self, key: str) -> bytes | None:
        """The content of the key's file, None when there is none."""
        descriptor = -1
        try:
            descriptor = os.open(f"{self._root}/{entry_path(key)}", _READ_FLAGS)
            content = chunk = os.read(descriptor, _READ_BYTES)
            while len(chunk) == _READ_BYTES:
                chunk = os.read(descriptor, _READ_BYTES)
                content += chunk
        except ValueError:
            return None  # a NUL or a lone surrogate: no file can have that name
        except OSError as cause:
            if cause.errno in _ABSENT:
                return None
            if cause.errno == errno.ELOOP:
                raise self._corrupt(key, "its file is a symbolic link") from None
            raise _error(cause, self._root, key) from None
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return content

    def _refuse_linked_folder(self, key: str) -> None:
        """A link where a folder was is no stray file: whoever walks would pass its entries over.

        Only a reader asks, because a server reads absent keys all day.
        """
        path = self._path / key
        if self._writer is None and path.is_symlink() and not path.is_file():
            raise self._corrupt(
                key,
                "a symbolic link lies in the place of a folder",
                hint="put the folder itself there, or mount it; links are not followed",
            )

    def _corrupt(self, key: str, cause: str, *, hint: str = "") -> CorruptEntryError:
        if keys.is_leftover_name(key):
            hint = "a killed server left this temporary file; it is no entry and can be removed"
        return CorruptEntryError(cause, store=self.url, key=key, hint=hint)


@contextlib.contextmanager
def _named(root: str) -> Iterator[None]:
    """OSError becomes a StorageError that names the store."""
    try:
        yield
    except OSError as cause:
        raise _error(cause, root, "") from None


def _error(cause: OSError, root: str, key: str) -> StorageError:
    said = cause.strerror or type(cause).__name__
    return StorageError(said, provider=PROVIDER, store=root, key=key, hint=_hint(cause))


def _hint(cause: OSError) -> str:
    if cause.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "run as the user who owns the data directory, and check its mode"
    return ""


def _children(folder: str, prefix: str, limit: int) -> tuple[set[str], bool]:
    """Names of up to ``limit`` children, and whether that was all.

    Once each, also when a stray file has an entry's name.
    """
    with os.scandir(folder) as entries:
        names = {
            child_name(entry.name, entry.is_dir(follow_symlinks=False))
            for entry in itertools.islice(entries, limit)
            if prefix or entry.name not in OUR_NAMES
        }
        return names, next(entries, None) is None
