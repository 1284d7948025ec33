"""Is a backup good: read from its place, compared with its manifest, every entry decrypted.

What lives here: the two depths of looking. What never does: writing.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from zvault.base.secret import Secret
from zvault.offline.report import VerifyReport
from zvault.offline.verify import verify_store
from zvault.ops.backup.archive_read import read_archive
from zvault.ops.backup.errors import BackupDamagedError, BackupError, BackupTruncatedError
from zvault.ops.backup.manifest import Manifest
from zvault.ops.backup.places import Place, free_bytes, naming
from zvault.ops.backup.spool import Spool, SpoolStorage

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class OpenBackup:
    """A backup that equals its manifest; ``storage`` is the store in it, for reading."""

    manifest: Manifest
    storage: SpoolStorage
    sha256: str
    bytes: int


@asynccontextmanager
async def open_backup(
    place: Place, name: str, expected_sha256: str | None = None
) -> AsyncIterator[OpenBackup]:
    """Fetch a backup and check it against its manifest (and the file's digest, when known).

    Raises BackupError, BackupNotFoundError, BackupPlaceError, StorageError.
    """
    local = await place.fetch(name)
    try:
        async with open_archive(local, f"{place.url}/{name}", expected_sha256) as backup:
            yield backup
    finally:
        place.release(local)


@asynccontextmanager
async def open_archive(
    local: Path, url: str, expected_sha256: str | None = None
) -> AsyncIterator[OpenBackup]:
    """``open_backup`` for a file on this machine."""
    spool = Spool(local.parent if os.access(local.parent, os.W_OK) else None)
    try:
        found = await asyncio.to_thread(_read, local, spool, expected_sha256)
        storage = SpoolStorage(spool, f"backup:{url}")
        yield OpenBackup(found.manifest, storage, found.sha256, found.bytes)
    finally:
        spool.close()


async def decrypt_all(backup: OpenBackup, shares: Sequence[Secret]) -> VerifyReport:
    """Open every entry with shares. Raises as ``offline.verify``; what does not open is reported.

    Raises BackupDamagedError when the walk finds another number of entries than the manifest has.
    """
    report = await verify_store(backup.storage, shares)
    if report.entries != backup.manifest.digest.count:
        raise BackupDamagedError(
            f"{report.entries} entries were gone through and the manifest has"
            f" {backup.manifest.digest.count}",
            hint="use another backup",
        )
    return report


def problems_of(report: VerifyReport, manifest: Manifest) -> tuple[str, ...]:
    """Why a backup does not count as verified, in sentences; empty when it does."""
    damaged = [item for item in manifest.left_out if item.damaged]
    problems = [f"{item.key} could not be read: {item.reason}" for item in damaged[:10]]
    problems += [f"{item.key} does not open: {item.reason}" for item in report.unopened[:10]]
    losses = [finding for finding in report.findings if finding.is_loss]
    problems += [f"{item.key}: {item.problem}" for item in losses[:10]]
    if not report.ok and not problems:
        problems.append("the store in it is not whole")
    return tuple(problems)


def counts_seen(report: VerifyReport) -> dict[str, int]:
    """What was counted, for the record."""
    return {"entries": report.entries, **asdict(report.counts)}


@dataclass(frozen=True, slots=True)
class _Found:
    manifest: Manifest
    sha256: str
    bytes: int


def _read(local: Path, spool: Spool, expected_sha256: str | None) -> _Found:
    digest, size = hashlib.sha256(), 0
    with naming(local), local.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
        file.seek(0)
        changed = expected_sha256 not in (None, digest.hexdigest())
        try:
            manifest = read_archive(file, spool, free_bytes=free_bytes(local.parent))
        except BackupTruncatedError:
            raise
        except BackupError as error:
            raise _changed(f": {error.message}") if changed else error from None
    if changed:
        raise _changed("")
    return _Found(manifest, digest.hexdigest(), size)


def file_sha256(local: Path) -> str:
    """Of a file, hex. Raises BackupPlaceError."""
    with naming(local), local.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _changed(how: str) -> BackupDamagedError:
    return BackupDamagedError(
        f"the backup file is not the one that was recorded{how}", hint="use another backup"
    )
