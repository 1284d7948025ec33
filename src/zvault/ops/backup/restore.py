"""Restoring a backup, into an empty place only.

What lives here: the order of acts. What never does: which class a destination is.
Invariant: a directory gets its name when everything in it was compared with the manifest (and,
with shares, decrypted); until then it is a sibling with a name of its own.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zvault.base.atomic_file import SHARED_FOLDER_MODE, fsync_directory, make_folders
from zvault.base.secret import Secret
from zvault.offline.verify import verify_store
from zvault.ops.backup.check import OpenBackup
from zvault.ops.backup.errors import (
    BackupDamagedError,
    BackupUnopenedError,
    DestinationFilledError,
)
from zvault.ops.backup.places import naming
from zvault.storage.api import Storage
from zvault.storage.copy import copy_store
from zvault.storage.digest import store_digest

OpenStore = Callable[[Path], Storage]
"""A store for writing in a new directory."""


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored. ``decrypted``: every entry was opened at the destination."""

    destination: str
    entries: int
    bytes: int
    decrypted: bool
    seconds: float


async def restore_to_directory(
    backup: OpenBackup, path: Path, open_store: OpenStore, shares: Sequence[Secret] | None
) -> RestoreReport:
    """Restore into ``path``, which must not exist or be an empty directory.

    Raises DestinationFilledError, BackupError, BackupPlaceError, StorageError.
    """
    with naming(path):
        _refuse_filled(path)
        make_folders(path.parent, SHARED_FOLDER_MODE)
        aside = path.with_name(f".{path.name}.restoring-{os.getpid()}")
        if aside.exists():
            shutil.rmtree(aside)
        aside.mkdir(mode=0o700)
    try:
        storage = open_store(aside)
        try:
            report = await restore_to_storage(backup, storage, shares)
        finally:
            await storage.close()
        with naming(path):
            _refuse_filled(path)
            aside.rename(path)
            fsync_directory(path.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return RestoreReport(
        f"file:{path}", report.entries, report.bytes, report.decrypted, report.seconds
    )


async def restore_to_storage(
    backup: OpenBackup, storage: Storage, shares: Sequence[Secret] | None
) -> RestoreReport:
    """Restore into an empty store; the copy ends with the proof that both sides are equal.

    Raises DestinationNotEmptyError, BackupError, CopyProofError, StorageError; what was written
    into an object store then stays there.
    """
    copied = await copy_store(backup.storage, storage)
    if await store_digest(storage) != backup.manifest.digest:
        raise BackupDamagedError(
            f"{storage.url} does not hold what the manifest says", hint="restore it again"
        )
    if shares is not None:
        report = await verify_store(storage, shares)
        if not report.ok:
            raise BackupUnopenedError(
                f"the restored store is not whole: {report.describe()}", hint="use another backup"
            )
    return RestoreReport(
        storage.url, copied.entries, copied.bytes, shares is not None, copied.seconds
    )


def _refuse_filled(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise DestinationFilledError(
            f"{path} is no directory", hint="name a new or empty directory"
        )
    if path.exists() and any(path.iterdir()):
        raise DestinationFilledError(
            f"{path} is not empty; nothing there was touched", hint="restore into a fresh place"
        )
