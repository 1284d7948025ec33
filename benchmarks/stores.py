"""What moving and checking a store costs: a proven copy to S3 beside a plain upload, and verify.

What lives here: the three timings over one store, on a real S3 server (SeaweedFS). The plain
upload sends the same objects to the same server through the same client, with the same number of
requests at a time, and believes every answer. It runs before and after the copy; its better time
counts.
"""

import asyncio
import base64
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import obstore
from obstore.store import S3Store

from benchmarks.servers import BenchError
from demo import seaweed
from zvault.base.secret import Secret
from zvault.offline.verify import verify_store
from zvault.storage.copy import DEFAULT_PARALLEL, copy_store
from zvault.storage.file import FileStorage
from zvault.storage.s3 import S3Storage
from zvault.storage.s3_client import connect
from zvault.storage.s3_options import S3Credentials, S3Options
from zvault.storage.walk import walk

COPY_BUCKET, PLAIN_BUCKETS = "bench-copy", ("bench-plain-1", "bench-plain-2")


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """Seconds and entries a second over the same entries."""

    entries: int
    bytes: int
    copy_seconds: float
    copy_proof: str
    plain_upload_seconds: float
    verify_entries: int
    verify_seconds: float

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "copy_entries_per_second": round(self.entries / self.copy_seconds, 1),
            "plain_entries_per_second": round(self.entries / self.plain_upload_seconds, 1),
            "copy_to_plain_ratio": round(self.copy_seconds / self.plain_upload_seconds, 2),
            "verify_entries_per_second": round(self.verify_entries / self.verify_seconds, 1),
        }


async def measure_store(data: Path, shares: list[str], weed: Path, directory: Path) -> StoreFigures:
    """Copy, plain upload and verify of the file store at ``data``. Raises BenchError."""
    server = seaweed.start(weed, directory)
    try:
        for bucket in (COPY_BUCKET, *PLAIN_BUCKETS):
            server.create_bucket(bucket)
            await _warm(connect(_options(server, bucket).check()))
        source = FileStorage.open(data, read_only=True)
        first, count = await _plain_upload(source, _options(server, PLAIN_BUCKETS[0]))
        destination = S3Storage.open(_options(server, COPY_BUCKET))
        report = await copy_store(source, destination)
        await destination.close()
        second, _ = await _plain_upload(source, _options(server, PLAIN_BUCKETS[1]))
        if report.entries != count:
            raise BenchError(f"copied {report.entries} entries, uploaded {count}")
        secrets = [Secret(base64.b64decode(share)) for share in shares]
        verified = await verify_store(source, secrets)
        if not verified.ok:
            raise BenchError(f"{verified.unopened_count} entries did not open")
        return StoreFigures(
            entries=report.entries,
            bytes=report.bytes,
            copy_seconds=report.seconds,
            copy_proof=report.proof,
            plain_upload_seconds=min(first, second),
            verify_entries=verified.entries,
            verify_seconds=verified.seconds,
        )
    finally:
        server.stop()


async def _warm(store: S3Store) -> None:
    """The first object makes the bucket's volume; that belongs to neither figure."""
    await obstore.put_async(store, "warm", b"x", use_multipart=False)
    await obstore.delete_async(store, "warm")


async def _plain_upload(source: FileStorage, options: S3Options) -> tuple[float, int]:
    """Seconds and objects; reading the files is part of it, as it is of the copy."""
    store = connect(options.check())
    permits = asyncio.Semaphore(DEFAULT_PARALLEL)

    async def put(key: str) -> None:
        try:
            value = await source.get(key)
            if value is not None:
                await obstore.put_async(store, key, value, use_multipart=False)
        finally:
            permits.release()

    started = time.monotonic()
    count = 0
    async with asyncio.TaskGroup() as group:
        async for key in walk(source):
            await permits.acquire()
            group.create_task(put(key))
            count += 1
    return time.monotonic() - started, count


def _options(server: seaweed.Seaweed, bucket: str) -> S3Options:
    return S3Options(
        bucket=bucket,
        credentials=S3Credentials(server.access_key_id, Secret(server.secret_access_key)),
        endpoint=server.endpoint,
        region=server.region,
        provider="seaweedfs",
    )
