"""Stores that real servers wrote, moved as opaque bytes: nothing is lost, nothing is changed."""

from pathlib import Path

import pytest

from tests.support import s3_standin
from tests.support.golden import unpack
from zvault.base.secret import Secret
from zvault.storage.compare import compare_stores
from zvault.storage.copy import copy_store
from zvault.storage.file import FileStorage
from zvault.storage.inmem import InMemStorage
from zvault.storage.raft_snapshot import RaftSnapshotStorage
from zvault.storage.s3 import S3Storage
from zvault.storage.s3_options import S3Credentials, S3Options
from zvault.storage.walk import walk

FILE_STORES = ("vault-file", "vault-audited", "vault-rotated-rekeyed", "openbao-file")


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", FILE_STORES)
async def test_a_file_store_copied_through_s3_is_the_same_tree_byte_for_byte(
    tmp_path: Path, name: str
) -> None:
    golden = unpack(name, tmp_path)
    source = FileStorage.open(golden.data, read_only=True)
    keys = [key async for key in walk(source)]
    assert len(keys) == len(tree(golden.data)) > 100
    async with s3_standin.running(habits=s3_standin.B2) as standin:
        options = S3Options(
            "vault", S3Credentials("id", Secret("x")), endpoint=standin.endpoint, provider="b2"
        )
        remote = S3Storage.open(options)
        there = await copy_store(source, remote)
        assert (there.entries, there.proof, there.read_back) == (len(keys), "md5-listing", 0)
        back = FileStorage.open(tmp_path / "back")
        report = await copy_store(remote, back)
        await back.close()
    assert report.entries == len(keys)
    assert tree(tmp_path / "back") == tree(golden.data)


async def test_a_bucket_that_vault_wrote_is_read_as_it_is(tmp_path: Path) -> None:
    golden = unpack("vault-s3", tmp_path)
    objects = tree(golden.root / "objects")
    async with s3_standin.running() as standin:
        standin.objects = {f"some/path/{name}": body for name, body in objects.items()}
        options = S3Options(
            "vault", S3Credentials("id", Secret("x")), prefix="some/path",
            endpoint=standin.endpoint, provider="aws",
        )  # fmt: skip
        store = S3Storage.open(options, read_only=True)
        assert [key async for key in walk(store)] == sorted(objects)
        assert (await compare_stores(InMemStorage(objects), store)).equal


async def test_a_raft_snapshot_becomes_a_file_store(tmp_path: Path) -> None:
    golden = unpack("openbao-raft", tmp_path)
    snapshot = RaftSnapshotStorage.open(golden.root / "snapshot.tar.gz")
    store = FileStorage.open(tmp_path / "data")
    report = await copy_store(snapshot, store)
    assert report.skipped >= 1
    assert (await compare_stores(snapshot, store)).equal
    await store.close()
