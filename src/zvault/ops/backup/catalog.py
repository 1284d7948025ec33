"""The backups in a place: list, the newest good one, verify again, prune.

What lives here: reading and rewriting records, removing files. What never does: which files go
(``retention.py``), what is in an archive.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from zvault.base.clock import Clock
from zvault.base.errors import VerificationError
from zvault.base.secret import Secret
from zvault.offline.report import VerifyReport
from zvault.ops.backup.check import (
    counts_seen,
    decrypt_all,
    file_sha256,
    open_backup,
    problems_of,
)
from zvault.ops.backup.errors import BackupNotFoundError, BackupUnopenedError
from zvault.ops.backup.places import Place
from zvault.ops.backup.record import (
    PARTIAL,
    SIDECAR,
    BackupRecord,
    Listed,
    decode_record,
    encode_record,
    is_backup_name,
    record_of,
)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The backups of one place."""

    place: Place
    clock: Clock

    async def backups(self) -> list[Listed]:
        """Every backup, oldest first. Raises BackupPlaceError, StorageError."""
        found = []
        for file in await self.place.files():
            if is_backup_name(file.name):
                record = await self.record(file.name)
                found.append(Listed(file.name, file.bytes, record))
        return sorted(found, key=lambda listed: listed.name)

    async def partials(self) -> list[str]:
        """What interrupted runs left."""
        names = [file.name for file in await self.place.files()]
        return [name for name in names if name.endswith(PARTIAL) and "vault-backup-" in name]

    async def latest_verified(self, store: str | None = None) -> BackupRecord | None:
        """The newest verified one, of ``store`` when given."""
        good = [listed.record for listed in await self.backups() if listed.verified]
        fitting = [record for record in good if record and store in (None, record.store)]
        return max(fitting, key=lambda record: record.taken_ns, default=None)

    async def verify(self, name: str, shares: Sequence[Secret]) -> BackupRecord:
        """Read it from its place, check it, decrypt every entry, and record what came of it.

        Raises BackupError (recorded as not verified), BackupNotFoundError, BackupPlaceError, what
        opening with ``shares`` raises.
        """
        known = await self.record(name)
        try:
            async with open_backup(self.place, name, known.sha256 if known else None) as backup:
                report = await decrypt_all(backup, shares)
                record = record_of(
                    name,
                    backup.manifest,
                    backup.sha256,
                    backup.bytes,
                    verified_ns=self.clock.now_ns(),
                    seen=counts_seen(report),
                    problems=problems_of(report, backup.manifest),
                )
        except VerificationError as error:
            if known is not None and known.verified and _is_about_the_file(error):
                broken = replace(known, verified=False, problems=(error.message,))
                await self.place.write_small(name + SIDECAR, encode_record(broken))
            raise
        await self.place.write_small(name + SIDECAR, encode_record(record))
        _require_good(record, report)
        return record

    async def damage(self, name: str) -> str:
        """Why the file is not, byte for byte, what was recorded; "" when it is.

        Cheaper than ``verify``, and all that can be said without shares. Raises BackupPlaceError,
        StorageError.
        """
        record = await self.record(name)
        if record is None:
            return f"{name} was never verified"
        try:
            local = await self.place.fetch(name)
        except BackupNotFoundError as error:
            return error.message
        try:
            found = await asyncio.to_thread(file_sha256, local)
        finally:
            self.place.release(local)
        return "" if found == record.sha256 else f"{name} was changed since it was verified"

    async def remove(self, names: Sequence[str]) -> None:
        """Remove backups with their records, and partials. Raises BackupNotFoundError."""
        present = {file.name for file in await self.place.files()}
        for name in names:
            if name not in present:
                raise BackupNotFoundError(f"{self.place.url} has no {name}", hint="list again")
            await self.place.delete(name + SIDECAR)
            await self.place.delete(name)

    async def record(self, name: str) -> BackupRecord | None:
        """What was recorded about a backup; None when nothing (readable) was."""
        content = await self.place.read_small(name + SIDECAR)
        return decode_record(content, name) if content is not None else None


def _is_about_the_file(error: VerificationError) -> bool:
    """Wrong shares say nothing about the backup."""
    return error.code.startswith("backup")


def _require_good(record: BackupRecord, report: VerifyReport) -> None:
    if not record.verified:
        raise BackupUnopenedError(
            f"the store in {record.name} is not whole: {'; '.join(record.problems[:5])}",
            hint="keep an older backup, and repair the store: zvault store verify",
        )
    if not report.ok:
        raise BackupUnopenedError(report.describe(), hint="repair the store")
