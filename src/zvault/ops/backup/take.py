"""Taking a backup: collect, write, read back, decrypt, name, record.

What lives here: the order of acts. What never does: each act's own work.
Invariants: the file has a partial name until what came back from its place equals its manifest;
``verified`` is recorded last, and only when every entry decrypted; no key and no password is
anywhere near the archive, which holds storage entries only.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zvault.base.clock import Clock
from zvault.base.errors import VerificationError
from zvault.base.gotime import SECOND_NS, format_time
from zvault.base.secret import Secret
from zvault.offline.open import open_offline
from zvault.ops.backup.archive_write import ArchiveFormat, Written, write_archive
from zvault.ops.backup.check import counts_seen, decrypt_all, open_backup, problems_of
from zvault.ops.backup.collect import Collected, Collector, Hold, OnPass
from zvault.ops.backup.errors import BackupPlaceError
from zvault.ops.backup.manifest import LeftOut, Manifest, digest_of
from zvault.ops.backup.places import Place, naming
from zvault.ops.backup.record import (
    PARTIAL,
    SIDECAR,
    BackupRecord,
    backup_name,
    encode_record,
    record_of,
)
from zvault.ops.backup.spool import Spool
from zvault.storage.api import Storage
from zvault.storage.keys import is_leftover_name

STORED_KEYS = "core/hsm/barrier-unseal-keys"
_LEFTOVER = "leftover of a killed server; it is no entry"


@dataclass(frozen=True, slots=True)
class Taker:
    """What taking a backup needs from outside."""

    place: Place
    clock: Clock
    random_bytes: Callable[[int], bytes] = os.urandom
    hold: Hold | None = None
    on_pass: OnPass | None = None

    async def take(
        self,
        storage: Storage,
        shares: Sequence[Secret],
        archive_format: ArchiveFormat = "tar.zst",
    ) -> BackupRecord:
        """A backup of the store as it is at one moment, verified.

        The record says ``verified`` False, with the problems, when the archive is good and the
        store in it is not. Raises what opening with ``shares`` raises before anything is written;
        StoreChangingError, HoldError, BackupError, BackupPlaceError, StorageError.
        """
        store = await open_offline(storage, shares, clock=self.clock)
        spool = Spool(self.place.staging())
        try:
            with naming(self.place.staging()):
                collector = Collector(storage, spool, self.clock, self.hold, self.on_pass)
                collected = await collector.collect()
            left_out = (*collected.left_out, *_drop_leftovers(spool, store.barrier.decrypt))
            seal = store.seal_config
            manifest = _manifest(
                storage.url,
                spool,
                replace(collected, left_out=left_out),
                (seal.secret_threshold, seal.secret_shares),
            )
            name = backup_name(manifest.taken_ns, self.random_bytes(3), archive_format)
            written = await self._place(name, manifest, spool, archive_format)
        finally:
            spool.close()
        return await self._verify_and_name(name, written, shares)

    async def _place(
        self, name: str, manifest: Manifest, spool: Spool, archive_format: ArchiveFormat
    ) -> Written:
        local = self.place.staging() / f".{name}{PARTIAL}"
        try:
            with naming(local):
                written = await asyncio.to_thread(
                    _write_file, local, manifest, spool, archive_format
                )
            await self.place.store(local, name + PARTIAL)
        finally:
            local.unlink(missing_ok=True)
        return written

    async def _verify_and_name(
        self, name: str, written: Written, shares: Sequence[Secret]
    ) -> BackupRecord:
        try:
            async with open_backup(self.place, name + PARTIAL, written.sha256) as backup:
                report = await decrypt_all(backup, shares)
                record = record_of(
                    name,
                    backup.manifest,
                    written.sha256,
                    written.bytes,
                    verified_ns=self.clock.now_ns(),
                    seen=counts_seen(report),
                    problems=problems_of(report, backup.manifest),
                )
        except VerificationError:
            with contextlib.suppress(BackupPlaceError):
                await self.place.delete(name + PARTIAL)
            raise
        await self.place.rename(name + PARTIAL, name)
        await self.place.write_small(name + SIDECAR, encode_record(record))
        return record


def _write_file(
    local: Path, manifest: Manifest, spool: Spool, archive_format: ArchiveFormat
) -> Written:
    """Write the archive to a private file and make it durable."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(local, flags, 0o600), "wb") as file:
        written = write_archive(file, manifest, spool.read, archive_format)
        os.fsync(file.fileno())
    return written


def _drop_leftovers(spool: Spool, decrypt: Callable[[str, bytes], bytes]) -> tuple[LeftOut, ...]:
    """Take out what is named like a killed server's temporary file and is no entry of that name."""
    dropped = []
    for key in filter(is_leftover_name, spool.keys()):
        try:
            decrypt(key, spool.read(key) or b"")
        except VerificationError:
            dropped.append(LeftOut(key, _LEFTOVER, damaged=False))
    spool.drop([item.key for item in dropped])
    return tuple(sorted(dropped, key=lambda item: item.key))


def _manifest(source: str, spool: Spool, collected: Collected, seal: tuple[int, int]) -> Manifest:
    entries = spool.digests()
    threshold, shares = seal
    return Manifest(
        created=format_time(collected.taken_ns // SECOND_NS * SECOND_NS),
        taken_ns=collected.taken_ns,
        source=source,
        consistency=collected.consistency,
        passes=collected.passes,
        held_ms=collected.held_ms,
        threshold=threshold,
        shares=shares,
        fingerprint=next((entry.sha256 for entry in entries if entry.key == STORED_KEYS), ""),
        digest=digest_of(entries),
        left_out=collected.left_out,
        entries=entries,
    )
