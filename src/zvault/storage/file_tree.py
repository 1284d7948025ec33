"""Entries put into and taken out of the tree; folders come and go with them.

What lives here: one operation's effects, none of them durable. What never does: a sync, a batch
(``file_commit.py``, ``file_logged.py``). Every method raises OSError.
Invariant: whoever reads the tree meanwhile, or after a kill, finds the old entry or the new one,
whole.
"""

import contextlib
import errno
import os
from collections.abc import Callable

from zvault.base.errors import ZvaultError
from zvault.storage.api import Operation, Put
from zvault.storage.errors import DiskFullError, InvalidKeyError, StorageError
from zvault.storage.file_layout import SCRATCH_NAME, encode_entry, entry_path
from zvault.storage.file_system import FileSystem

PROVIDER = "file"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_KNOWN_FOLDERS = 20_000
_ONE_PAGE_BYTES = 4096
"""Up to here the kernel puts a new file's content there in one step: it is empty, which counts as
absent, or whole."""


class Tree:
    """The folders and files below one root. Use from one thread."""

    def __init__(
        self, root: str, files: FileSystem, is_awaited: Callable[[str], bool] | None = None
    ) -> None:
        """``is_awaited``: whether an entry of this folder (a key's part) comes later; it stays."""
        self.root = root
        self._scratch = f"{root}/{SCRATCH_NAME}"
        self._files = files
        self._is_awaited = is_awaited
        self._serial = 0
        self._folders: set[str] = set()
        """Some of the folders that exist; nobody but us removes any."""

    def path_of(self, key: str) -> str:
        return f"{self.root}/{entry_path(key)}"

    def new_temporary(self) -> str:
        """A path in our own folder that no other temporary file has."""
        self._serial += 1
        return f"{self._scratch}/{self._serial}"

    def do(self, operation: Operation, touched: set[str]) -> None:
        """One operation whose entry is made durable by somebody else, later."""
        path = self.path_of(operation.key)
        if not isinstance(operation, Put):
            self.remove(path, touched)
            return
        content = encode_entry(operation.value)
        if len(content) <= _ONE_PAGE_BYTES and self._create(path, content, touched):
            return
        temporary = self.new_temporary()
        try:
            self._files.create(temporary, content)
            self.place(temporary, path, touched)
        except OSError:
            self.drop(temporary)
            raise

    def make_room(self, key: str) -> None:
        """See to it that an entry of ``key`` can be put there later: nothing else has its name."""
        path = self.path_of(key)
        self.make_folder(_folder_of(path))
        # Absent is the usual answer, and this call gives it without an exception.
        if os.access(path, os.F_OK) and os.path.isdir(path):  # noqa: PTH112
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))

    def make_folder(self, folder: str) -> None:
        """Make a folder and what is missing above it; one that is known to be there costs nothing.

        ``folder``: a whole path.
        """
        if folder in self._folders or folder == self.root:
            return
        if not os.path.isdir(folder):  # noqa: PTH112
            self._make_folders(folder, set())
            if not os.path.isdir(folder):  # noqa: PTH112
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if len(self._folders) >= _KNOWN_FOLDERS:
            self._folders.clear()
        self._folders.add(folder)

    def _create(self, path: str, content: bytes, touched: set[str]) -> bool:
        """A new small file at its place; False when something is there."""
        try:
            self._files.create(path, content)
        except FileExistsError:
            return False
        except FileNotFoundError:
            self._make_folders(_folder_of(path), touched)
            self._files.create(path, content)
        touched.add(_folder_of(path))
        return True

    def drop(self, path: str) -> None:
        """Remove a file that may not be there, or not be removable; the next open cleans up."""
        with contextlib.suppress(OSError):
            self._files.remove(path)

    def place(self, temporary: str, path: str, touched: set[str]) -> None:
        """Rename a whole file into its place; ``touched`` gains the folders that changed."""
        folder = _folder_of(path)
        try:
            self._files.rename(temporary, path)
        except FileNotFoundError:
            self._make_folders(folder, touched)
            self._files.rename(temporary, path)
        touched.add(folder)

    def _make_folders(self, folder: str, touched: set[str]) -> None:
        """Make ``folder`` and what is missing above it, down from the first that exists."""
        missing: list[str] = []
        while folder != self.root:
            try:
                self._files.make_folder(folder)
            except FileNotFoundError:
                missing.append(folder)
                folder = _folder_of(folder)
                continue
            except FileExistsError:
                break
            touched.add(_folder_of(folder))
            break
        for below in reversed(missing):
            self._files.make_folder(below)
            touched.add(_folder_of(below))

    def remove(self, path: str, touched: set[str]) -> None:
        """Remove an entry's file and every folder above that became empty."""
        folder = _folder_of(path)
        try:
            self._files.remove(path)
        except (NotADirectoryError, IsADirectoryError):
            return  # no entry; a folder of that name belongs to other keys
        except FileNotFoundError:
            pass  # the folder may have been made for an entry that never came
        else:
            touched.add(folder)
        while folder != self.root and not self._is_kept(folder):
            try:
                self._files.remove_folder(folder)
            except FileNotFoundError:
                pass
            except OSError as cause:
                if cause.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    return
                raise
            self._folders.discard(folder)
            touched.discard(folder)
            folder = _folder_of(folder)
            touched.add(folder)

    def _is_kept(self, folder: str) -> bool:
        """An entry of this very folder is on its way."""
        return self._is_awaited is not None and self._is_awaited(folder[len(self.root) + 1 :])

    def error(self, cause: OSError, key: str) -> ZvaultError:
        """What the caller of ``apply`` is told."""
        if cause.errno in _FULL:
            return DiskFullError(say(cause), provider=PROVIDER, store=self.root, key=key)
        if cause.errno == errno.ENAMETOOLONG:
            return InvalidKeyError(key, "its path is too long for this file system")
        if cause.errno in (errno.ENOTDIR, errno.EISDIR):
            return StorageError(
                "its file name is taken by another key's folder or file",
                provider=PROVIDER,
                store=self.root,
                key=key,
                hint="rename one of the two; the file layout cannot hold both",
            )
        return StorageError(say(cause), provider=PROVIDER, store=self.root, key=key)


def say(cause: OSError) -> str:
    """The cause in a few words, no path."""
    return cause.strerror or type(cause).__name__


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]
