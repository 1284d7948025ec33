"""Backups: which place a URL means, which backup a name means, where one is restored to.

What lives here: concrete classes chosen. What never does: what is done with a backup.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from zvault.app.stores import S3Access, open_store, opened
from zvault.base.clock import Clock, SystemClock
from zvault.base.errors import UsageError
from zvault.base.secret import Secret
from zvault.ops.backup.catalog import Catalog
from zvault.ops.backup.check import OpenBackup, open_archive, open_backup
from zvault.ops.backup.errors import BackupNotFoundError
from zvault.ops.backup.places import DirectoryPlace, Place, StoragePlace
from zvault.ops.backup.restore import RestoreReport, restore_to_directory, restore_to_storage
from zvault.storage.file import FileStorage
from zvault.storage.urls import parse_store_url

LATEST = "latest"


@asynccontextmanager
async def open_place(url: str, access: S3Access | None = None) -> AsyncIterator[Place]:
    """The place for backups at ``file:DIR`` or ``s3://BUCKET/PREFIX``.

    Raises StoreUrlError, UsageError, and as ``open_store`` for s3.
    """
    place = parse_store_url(url)
    if place.kind == "file":
        yield DirectoryPlace(place.path.absolute())
        return
    if place.kind != "s3":
        raise UsageError(f"{url} is no place for backups", hint="file:DIR or s3://BUCKET/PREFIX")
    scratch = Path(tempfile.mkdtemp(prefix="zvault-backup-"))
    try:
        storage = open_store(url, access, read_only=False)
        try:
            yield StoragePlace(storage, scratch)
        finally:
            await storage.close()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


async def resolve(catalog: Catalog, name: str) -> str:
    """The name itself, or that of the newest verified backup. Raises BackupNotFoundError."""
    if name != LATEST:
        return name
    newest = await catalog.latest_verified()
    if newest is None:
        raise BackupNotFoundError(
            f"{catalog.place.url} has no verified backup", hint="zvault backup take"
        )
    return newest.name


@asynccontextmanager
async def open_named(
    url: str, name: str, access: S3Access | None = None, clock: Clock | None = None
) -> AsyncIterator[OpenBackup]:
    """A backup by name (``latest``: the newest verified), or a file by a path with a slash.

    Where a record exists, the file must be the recorded one. Raises BackupError,
    BackupNotFoundError, BackupPlaceError, StorageError.
    """
    if "/" in name:
        path = Path(name).absolute()
        async with open_archive(path, str(path)) as backup:
            yield backup
        return
    async with open_place(url, access) as place:
        catalog = Catalog(place, clock or SystemClock())
        chosen = await resolve(catalog, name)
        record = await catalog.record(chosen)
        async with open_backup(place, chosen, record.sha256 if record else None) as backup:
            yield backup


async def restore(
    backup: OpenBackup,
    destination: str,
    access: S3Access | None = None,
    shares: Sequence[Secret] | None = None,
) -> RestoreReport:
    """Restore into an empty ``file:PATH`` or ``s3://…``. Raises as ``ops.backup.restore``."""
    url = parse_store_url(destination)
    if url.kind == "file":
        return await restore_to_directory(backup, url.path.absolute(), FileStorage.open, shares)
    async with opened(destination, access, read_only=False) as storage:
        return await restore_to_storage(backup, storage, shares)
