"""Backups in a bucket of a real S3 server, and restored from there into another prefix."""

from pathlib import Path

from demo.seaweed import Seaweed
from tests.support.golden import unpack
from tests.support.golden_storage import shares_of
from tests.support.seaweed import fresh_bucket, s3_options, seaweed
from zvault.base.clock import ManualClock
from zvault.ops.backup.catalog import Catalog
from zvault.ops.backup.check import open_backup
from zvault.ops.backup.places import StoragePlace
from zvault.ops.backup.restore import restore_to_storage
from zvault.ops.backup.take import Taker
from zvault.storage.compare import compare_stores
from zvault.storage.file import FileStorage
from zvault.storage.s3 import S3Storage

__all__ = ["seaweed"]


async def test_a_backup_goes_to_a_bucket_and_comes_back_into_one(
    tmp_path: Path,
    seaweed: Seaweed,
) -> None:
    golden = unpack("vault-file", tmp_path)
    bucket = fresh_bucket(seaweed)
    backups = S3Storage.open(s3_options(seaweed, bucket, "backups"))
    target = S3Storage.open(s3_options(seaweed, bucket, "restored"))
    (tmp_path / "scratch").mkdir()
    place, clock = StoragePlace(backups, tmp_path / "scratch"), ManualClock(1_795_305_600 * 10**9)
    source = FileStorage.open(golden.data, read_only=True)
    try:
        record = await Taker(place, clock).take(source, shares_of(golden))
        assert record.verified
        catalog = Catalog(place, clock)
        assert [item.name for item in await catalog.backups()] == [record.name]
        assert await catalog.partials() == []
        assert (await catalog.verify(record.name, shares_of(golden))).verified
        async with open_backup(place, record.name, record.sha256) as backup:
            report = await restore_to_storage(backup, target, shares_of(golden))
        assert report.decrypted
        assert (await compare_stores(source, target)).equal
        s3_backup = await Taker(place, clock, lambda n: b"\1" * n).take(target, shares_of(golden))
        assert s3_backup.store_digest == record.store_digest
        assert list((tmp_path / "scratch").iterdir()) == []
    finally:
        await target.close()
        await backups.close()
