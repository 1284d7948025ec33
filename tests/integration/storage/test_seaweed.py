"""A real S3 server: access, named causes, a store there and back, large values."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from demo.seaweed import Seaweed
from launcher.ports import free_port
from tests.support.golden import unpack
from tests.support.seaweed import fresh_bucket, s3_options, seaweed  # noqa: F401
from zvault.base.secret import Secret
from zvault.storage import errors
from zvault.storage.api import Put
from zvault.storage.compare import compare_stores
from zvault.storage.copy import copy_store, sync_store
from zvault.storage.file import FileStorage
from zvault.storage.s3 import S3Storage
from zvault.storage.s3_options import RetryPolicy, S3Credentials

pytestmark = pytest.mark.real("seaweedfs")


@pytest.mark.row("A5.3")
async def test_the_access_check_proves_signed_list_put_get_and_delete(
    seaweed: Seaweed,  # noqa: F811
) -> None:
    store = S3Storage.open(s3_options(seaweed, fresh_bucket(seaweed), "stage9/vault"))
    assert await store.check_access() == ("list", "put", "get", "delete")
    assert [info async for info in store.list_objects()] == []


@pytest.mark.row("A5.3")
async def test_a_wrong_bucket_key_id_secret_and_port_are_four_errors(
    seaweed: Seaweed,  # noqa: F811
) -> None:
    right = s3_options(seaweed, fresh_bucket(seaweed))
    key_id, secret = right.credentials.access_key_id, right.credentials.secret_access_key
    cases = {
        errors.NoSuchBucketError: replace(right, bucket="no-such-bucket"),
        errors.UnknownKeyIdError: replace(right, credentials=S3Credentials("UNKNOWN", secret)),
        errors.WrongSecretError: replace(right, credentials=S3Credentials(key_id, Secret("no"))),
        errors.StoreUnreachableError: replace(
            right, endpoint=f"http://127.0.0.1:{free_port()}", retry=RetryPolicy(attempts=2)
        ),
    }
    sentences = set()
    for kind, options in cases.items():
        with pytest.raises(kind) as caught:
            await S3Storage.open(options).check_access()
        error = caught.value
        assert (error.provider, error.store) == ("seaweedfs", f"s3://{options.bucket}")
        assert secret.reveal_text() not in error.message + error.hint
        sentences.add(error.cause)
    assert len(sentences) == 4


async def test_a_real_vaults_store_goes_to_s3_and_back_proven(
    tmp_path: Path,
    seaweed: Seaweed,  # noqa: F811
) -> None:
    golden = unpack("vault-file", tmp_path)
    source = FileStorage.open(golden.data)
    remote = S3Storage.open(s3_options(seaweed, fresh_bucket(seaweed), "vault"))
    there = await copy_store(source, remote, journal=tmp_path / "journal")
    assert there.proof == "md5-listing"
    await source.apply([Put("logical/new", b"x"), Put("core/keyring", b"rotated")])
    delta = await sync_store(source, remote)
    assert (delta.written, delta.deleted) == (2, 0)
    assert (await compare_stores(source, remote)).equal
    back = FileStorage.open(tmp_path / "back")
    report = await copy_store(remote, back)
    assert report.entries == there.entries + 1
    assert (await compare_stores(source, back)).equal
    await source.close()
    await back.close()


async def test_a_value_that_the_server_keeps_in_pieces_is_read_back_for_the_proof(
    tmp_path: Path,
    seaweed: Seaweed,  # noqa: F811
) -> None:
    """SeaweedFS cuts large objects into chunks; whatever tag it gives, the proof holds."""
    source = FileStorage.open(tmp_path / "a")
    await source.apply([Put("big", os.urandom(9 << 20)), Put("small", b"1")])
    remote = S3Storage.open(s3_options(seaweed, fresh_bucket(seaweed)))
    report = await copy_store(source, remote)
    listed = {info.key: info async for info in remote.list_objects()}
    assert listed["big"].size == 9 << 20
    assert report.read_back == sum(info.etag_md5 is None for info in listed.values())
    assert (await compare_stores(source, remote)).equal
    await source.close()


async def test_more_than_two_pages_are_listed_once_each_and_in_order(
    seaweed: Seaweed,  # noqa: F811
) -> None:
    store = S3Storage.open(s3_options(seaweed, fresh_bucket(seaweed), "p"))
    keys = [f"logical/{number % 3}/{number:05}" for number in range(2100)]
    for start in range(0, len(keys), 100):
        await asyncio.gather(*(store.apply([Put(k, b"1")]) for k in keys[start : start + 100]))
    assert [info.key async for info in store.list_objects()] == sorted(keys)
    assert len(await store.list("logical/1/")) == 700
