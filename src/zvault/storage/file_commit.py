"""Group commit: many callers' operations become durable with two syncs.

What lives here: the order of effects, run on one thread. What never does: the event loop, a read.

Order, and why (must): the content of every new file is durable before any is renamed into place,
so an entry is the old one or the new one, whole; renames and removals run in the callers' order,
so a kill leaves a prefix; the folders touched are durable before anyone is told. Not promised:
the order of two operations of one unacknowledged batch after a power cut. Who needs "this last"
makes two calls.
"""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from zvault.base.errors import ZvaultError
from zvault.storage.api import Operation, Put
from zvault.storage.errors import BrokenStoreError, DiskFullError, InvalidKeyError, StorageError
from zvault.storage.file_layout import SCRATCH_NAME, encode_entry, entry_path
from zvault.storage.file_system import FileSystem

PROVIDER = "file"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(slots=True)
class _Work:
    """One caller's operations with the temporary file of each put."""

    operations: Sequence[Operation]
    temporaries: list[str] = field(default_factory=list)
    error: ZvaultError | None = None


class Committer:
    """Runs batches, one at a time, on whatever thread it is called."""

    def __init__(self, root: str, files: FileSystem) -> None:
        self._root = root
        self._scratch = f"{root}/{SCRATCH_NAME}"
        self._files = files
        self._serial = 0
        self._broken: BrokenStoreError | None = None

    def commit(self, batch: Sequence[Sequence[Operation]]) -> list[ZvaultError | None]:
        """Do every caller's operations; per caller None or what went wrong."""
        if self._broken is not None:
            return [self._broken] * len(batch)
        works = [_Work(operations) for operations in batch]
        self._prepare(works)
        touched: set[str] = set()
        for work in works:
            if work.error is None:
                self._install(work, touched)
        self._settle(works, touched)
        return [work.error for work in works]

    def _prepare(self, works: Sequence[_Work]) -> None:
        """Write all temporary files and make them durable."""
        for work in works:
            for operation in work.operations:
                if isinstance(operation, Put) and work.error is None:
                    self._write_temporary(work, operation)
        ready = [path for work in works if work.error is None for path in work.temporaries]
        try:
            self._files.sync(ready)
        except OSError as cause:
            for work in works:
                self._give_up(work, work.error or self._error(cause, ""))

    def _write_temporary(self, work: _Work, operation: Put) -> None:
        self._serial += 1
        path = f"{self._scratch}/{self._serial}"
        work.temporaries.append(path)
        try:
            self._files.create(path, encode_entry(operation.value))
        except OSError as cause:
            self._give_up(work, self._error(cause, operation.key))

    def _give_up(self, work: _Work, error: ZvaultError) -> None:
        """Nothing of this caller was renamed yet: drop its temporary files."""
        work.error = error
        self._drop(work.temporaries)
        work.temporaries.clear()

    def _drop(self, temporaries: Sequence[str]) -> None:
        for path in temporaries:
            try:
                self._files.remove(path)
            except OSError:
                continue  # not made yet, or cleaned up by the next open

    def _install(self, work: _Work, touched: set[str]) -> None:
        """Rename and remove in order; stop at the first failure."""
        position = 0
        for operation in work.operations:
            path = f"{self._root}/{entry_path(operation.key)}"
            try:
                if isinstance(operation, Put):
                    self._place(work.temporaries[position], path, touched)
                    position += 1
                else:
                    self._remove(path, touched)
            except OSError as cause:
                work.error = self._error(cause, operation.key)
                self._drop(work.temporaries[position:])
                return

    def _place(self, temporary: str, path: str, touched: set[str]) -> None:
        folder = os.path.dirname(path)  # noqa: PTH120
        try:
            self._files.rename(temporary, path)
        except FileNotFoundError:
            self._make_folders(folder, touched)
            self._files.rename(temporary, path)
        touched.add(folder)

    def _make_folders(self, folder: str, touched: set[str]) -> None:
        """Make ``folder`` and what is missing above it, down from the first that exists."""
        missing: list[str] = []
        while folder != self._root:
            try:
                self._files.make_folder(folder)
            except FileNotFoundError:
                missing.append(folder)
                folder = os.path.dirname(folder)  # noqa: PTH120
                continue
            except FileExistsError:
                break
            touched.add(os.path.dirname(folder))  # noqa: PTH120
            break
        for below in reversed(missing):
            self._files.make_folder(below)
            touched.add(os.path.dirname(below))  # noqa: PTH120

    def _remove(self, path: str, touched: set[str]) -> None:
        folder = os.path.dirname(path)  # noqa: PTH120
        try:
            self._files.remove(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return  # no entry; a folder of that name belongs to other keys
        touched.add(folder)
        while folder != self._root:
            try:
                self._files.remove_folder(folder)
            except FileNotFoundError:
                pass
            except OSError as cause:
                if cause.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    return
                raise
            touched.discard(folder)
            folder = os.path.dirname(folder)  # noqa: PTH120
            touched.add(folder)

    def _settle(self, works: Sequence[_Work], touched: set[str]) -> None:
        """Make the folders durable; after a failure here nobody knows what is."""
        try:
            self._files.sync(sorted(touched))
        except OSError as cause:
            self._broken = BrokenStoreError(
                f"a folder could not be made durable: {_say(cause)}",
                provider=PROVIDER,
                store=self._root,
            )
            for work in works:
                work.error = work.error or self._broken

    def _error(self, cause: OSError, key: str) -> ZvaultError:
        if cause.errno in _FULL:
            return DiskFullError(_say(cause), provider=PROVIDER, store=self._root, key=key)
        if cause.errno == errno.ENAMETOOLONG:
            return InvalidKeyError(key, "its path is too long for this file system")
        if cause.errno in (errno.ENOTDIR, errno.EISDIR):
            return StorageError(
                "its file name is taken by another key's folder or file",
                provider=PROVIDER,
                store=self._root,
                key=key,
                hint="rename one of the two; the file layout cannot hold both",
            )
        return StorageError(_say(cause), provider=PROVIDER, store=self._root, key=key)


def _say(cause: OSError) -> str:
    return cause.strerror or type(cause).__name__
