"""Backups behind the migration's doors.

What lives here: the backup room in the words of a migration. What never does: the archive.
Invariant: a backup that is not recorded as verified does not exist for a migration.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zvault.app.site import Site
from zvault.base.clock import Clock
from zvault.base.errors import VerificationError
from zvault.base.secret import Secret
from zvault.ops.backup.catalog import Catalog
from zvault.ops.backup.check import open_backup
from zvault.ops.backup.hold import hold_of
from zvault.ops.backup.places import DirectoryPlace
from zvault.ops.backup.record import BackupRecord
from zvault.ops.backup.restore import restore_to_storage
from zvault.ops.backup.take import Taker
from zvault.ops.migration.model import Recovery
from zvault.ops.migration.ports import BackupFacts
from zvault.ops.migration.stores import Opener
from zvault.storage.errors import StoreUrlError
from zvault.storage.urls import parse_store_url


class UnverifiedBackupError(VerificationError):
    """A backup was taken, and the store in it is not whole."""

    code = "backup-unverified"


@dataclass(frozen=True, slots=True)
class BackupDoor:
    """The Backups port: a local folder. ``find_pid`` is the server whose writes may be held."""

    site: Site
    opener: Opener
    clock: Clock
    find_pid: Callable[[], int | None]

    async def latest_verified(self) -> BackupFacts | None:
        """See Backups."""
        record = await Catalog(self._place(), self.clock).latest_verified()
        return None if record is None else self._facts(record)

    async def verified(self) -> list[BackupFacts]:
        """See Backups."""
        listed = await Catalog(self._place(), self.clock).backups()
        return [self._facts(one.record) for one in listed if one.verified and one.record]

    async def damage(self, name: str) -> str:
        """See Backups."""
        return await Catalog(self._place(), self.clock).damage(name)

    async def take(self, store_url: str, shares: Sequence[Secret]) -> BackupFacts:
        """See Backups. Raises UnverifiedBackupError when an entry of the store does not open."""
        pid = self.find_pid()
        taker = Taker(self._place(), self.clock, hold=hold_of(pid) if pid is not None else None)
        storage = await self.opener(store_url, read_only=True)
        try:
            record = await taker.take(storage, shares)
        finally:
            await storage.close()
        if not record.verified:
            raise UnverifiedBackupError(
                f"the backup {record.name} holds a store that is not whole:"
                f" {'; '.join(record.problems[:3])}",
                hint="zvault store verify names everything",
            )
        return self._facts(record)

    async def restore(self, recovery: Recovery, destination: str) -> None:
        """See Backups. What was read is compared with the manifest before it is believed."""
        listed = await Catalog(self._place(), self.clock).backups()
        known = next((one.record for one in listed if one.name == recovery.name), None)
        expected = known.sha256 if known else None
        storage = await self.opener(destination, read_only=False)
        try:
            async with open_backup(self._place(), recovery.name, expected) as backup:
                await restore_to_storage(backup, storage, None)
        finally:
            await storage.close()

    def _place(self) -> DirectoryPlace:
        return DirectoryPlace(self.site.places.backup_dir)

    def _facts(self, record: BackupRecord) -> BackupFacts:
        url = self._site_url(record.store)
        return BackupFacts(record.name, record.taken_ns, url, record.fingerprint)

    def _site_url(self, url: str) -> str:
        """The archive names a file store by its absolute path, the site by a relative one."""
        try:
            place = parse_store_url(url)
        except StoreUrlError:
            return url  # of no store of ours, whoever wrote that record
        return self.site.file_url(place.path) if place.kind == "file" else url
