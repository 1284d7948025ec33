"""Where backups lie: a local directory, or a prefix of an object store.

What lives here: the protocol and both places. What never does: what is in a file.
Invariant: a file has its final name only by ``rename``; everything is durable on return.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zvault.base.atomic_file import fsync_directory, make_folders, write_atomic
from zvault.ops.backup.errors import BackupDamagedError, BackupNotFoundError, BackupPlaceError
from zvault.storage.api import Delete, Put, Storage
from zvault.storage.walk import inventory


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """A file there; ``bytes`` None where the listing does not say."""

    name: str
    bytes: int | None


class Place(Protocol):
    """A flat folder of files."""

    @property
    def url(self) -> str: ...
    def staging(self) -> Path:
        """A local folder for files on their way here and back."""
        ...

    async def store(self, local: Path, name: str) -> None:
        """Put a local file there; it may be moved. Raises BackupPlaceError, StorageError."""
        ...

    async def fetch(self, name: str) -> Path:
        """A local file with what is really there. Raises BackupNotFoundError."""
        ...

    def release(self, local: Path) -> None:
        """Done with what ``fetch`` gave."""
        ...

    async def rename(self, old: str, new: str) -> None: ...
    async def delete(self, name: str) -> None: ...
    async def read_small(self, name: str) -> bytes | None: ...
    async def write_small(self, name: str, content: bytes) -> None: ...
    async def files(self) -> list[PlacedFile]:
        """Every file, by name."""
        ...


@dataclass(frozen=True, slots=True)
class DirectoryPlace:
    """A local directory, made with mode 0700."""

    directory: Path

    @property
    def url(self) -> str:
        return f"file:{self.directory}"

    def staging(self) -> Path:
        with naming(self.directory):
            make_folders(self.directory)
        return self.directory

    async def store(self, local: Path, name: str) -> None:
        with naming(self.directory / name):
            local.replace(self.directory / name)
            fsync_directory(self.directory)

    async def fetch(self, name: str) -> Path:
        path = self.directory / name
        with naming(path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                raise _absent(self.url, name) from None
            try:  # what we look at should come from the disk, not from the page cache
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
        return path

    def release(self, local: Path) -> None:
        """Nothing to do: it is the file itself."""

    async def rename(self, old: str, new: str) -> None:
        with naming(self.directory / new):
            (self.directory / old).replace(self.directory / new)
            fsync_directory(self.directory)

    async def delete(self, name: str) -> None:
        with naming(self.directory / name):
            (self.directory / name).unlink(missing_ok=True)
            fsync_directory(self.directory)

    async def read_small(self, name: str) -> bytes | None:
        with naming(self.directory / name):
            try:
                return (self.directory / name).read_bytes()
            except FileNotFoundError:
                return None

    async def write_small(self, name: str, content: bytes) -> None:
        with naming(self.directory / name):
            write_atomic(self.directory / name, content)

    async def files(self) -> list[PlacedFile]:
        with naming(self.directory):
            if not self.directory.exists():
                return []
            found = [path for path in self.directory.iterdir() if path.is_file()]
            return sorted(
                (PlacedFile(path.name, path.stat().st_size) for path in found),
                key=lambda file: file.name,
            )


@dataclass(frozen=True, slots=True)
class StoragePlace:
    """Objects in a store (S3); files pass through ``scratch``, a local folder of our own.

    Object storage has no rename, so that is a copy, read back and compared, then a delete.
    """

    storage: Storage
    scratch: Path

    @property
    def url(self) -> str:
        return self.storage.url

    def staging(self) -> Path:
        return self.scratch

    async def store(self, local: Path, name: str) -> None:
        with naming(local):
            content = local.read_bytes()
        await self.storage.apply([Put(name, content)])
        local.unlink(missing_ok=True)

    async def fetch(self, name: str) -> Path:
        content = await self._get(name)
        local = self.scratch / name
        with naming(local):
            write_atomic(local, content)
        return local

    def release(self, local: Path) -> None:
        local.unlink(missing_ok=True)

    async def rename(self, old: str, new: str) -> None:
        content = await self._get(old)
        await self.storage.apply([Put(new, content)])
        if await self._get(new) != content:
            raise BackupDamagedError(
                f"{self.url} gives back another {new} than it was given", hint="use another place"
            )
        await self.storage.apply([Delete(old)])

    async def delete(self, name: str) -> None:
        await self.storage.apply([Delete(name)])

    async def read_small(self, name: str) -> bytes | None:
        return await self.storage.get(name)

    async def write_small(self, name: str, content: bytes) -> None:
        await self.storage.apply([Put(name, content)])

    async def files(self) -> list[PlacedFile]:
        found = [PlacedFile(info.key, info.size) async for info in inventory(self.storage)]
        return [file for file in found if "/" not in file.name]

    async def _get(self, name: str) -> bytes:
        content = await self.storage.get(name)
        if content is None:
            raise _absent(self.url, name)
        return content


def free_bytes(folder: Path) -> int:
    """What is free where ``folder`` lies. Raises BackupPlaceError."""
    with naming(folder):
        return shutil.disk_usage(folder).free


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say which file the system failed on, and why: OSError becomes BackupPlaceError."""
    try:
        yield
    except OSError as cause:
        raise BackupPlaceError(
            f"{path}: {cause.strerror or type(cause).__name__}",
            hint="check the backup folder, its owner and the disk",
        ) from None


def _absent(place: str, name: str) -> BackupNotFoundError:
    return BackupNotFoundError(f"{place} has no {name}", hint="see `zvault backup list`")
