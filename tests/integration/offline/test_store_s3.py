"""Offline commands on a real S3 server, and what they copied in a real OpenBao."""

import asyncio
import base64
import json
from pathlib import Path

import pytest

from demo.seaweed import Seaweed
from launcher.ports import free_port
from tests.support.cli import zvault
from tests.support.golden import Golden
from tests.support.golden_storage import in_memory
from tests.support.openbao import OpenBao
from tests.support.seaweed import fresh_bucket, s3_options, seaweed
from zvault.storage.copy import copy_store
from zvault.storage.s3 import S3Storage

__all__ = ["seaweed"]


@pytest.fixture
def uploaded(seaweed: Seaweed, tmp_path: Path) -> tuple[Golden, str]:
    """The objects that a real Vault kept in S3, unchanged, in a bucket of their own."""
    bucket = fresh_bucket(seaweed)

    async def upload() -> Golden:
        golden, objects = await in_memory("vault-s3", tmp_path / "golden")
        store = S3Storage.open(s3_options(seaweed, bucket, "vault"))
        await copy_store(objects, store)
        await store.close()
        return golden

    return asyncio.run(upload()), f"s3://{bucket}/vault"


def options(seaweed: Seaweed, place: Path) -> list[str]:
    credentials = place / "credentials"
    credentials.touch(mode=0o600)
    credentials.write_text(
        f"aws_access_key_id = {seaweed.access_key_id}\n"
        f"aws_secret_access_key = {seaweed.secret_access_key}\n"
    )
    return ["--endpoint", seaweed.endpoint, "--region", seaweed.region,
            "--provider", "seaweedfs", "--credentials-file", str(credentials)]  # fmt: skip


def shares_file(golden: Golden, place: Path) -> Path:
    path = place / "shares.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(golden.expected["shares"]))
    return path


@pytest.mark.row("C1")
@pytest.mark.real("seaweedfs")
def test_a_store_in_s3_verifies_reads_and_copies_to_files_that_openbao_opens(
    seaweed: Seaweed, uploaded: tuple[Golden, str], tmp_path: Path
) -> None:
    golden, url = uploaded
    access, shares = options(seaweed, tmp_path), shares_file(golden, tmp_path)
    verified = zvault("store", "verify", url, "--shares-file", shares, "--json", *access)
    assert verified.code == 0, verified.err
    assert verified.json()["secrets_kv2"] == len(golden.expected["kv2"])

    secret = golden.expected["kv2"]["shared/db"]["readable"]
    number, data = list(secret.items())[-1]
    read = zvault("store", "read", url, "zakupai/shared/db", "--version", number,
                  "--shares-file", shares, "--json", *access)  # fmt: skip
    assert read.json() == data

    tree = tmp_path / "data"
    copied = zvault("store", "copy", url, f"file:{tree}", "--json", *access, cwd=tmp_path)
    assert copied.code == 0, copied.err
    compared = zvault("store", "compare", url, f"file:{tree}", "--json", *access)
    assert compared.json()["equal"] is True

    server = OpenBao(tmp_path, tree, free_port())
    try:
        server.start()
        for share in golden.expected["shares"][: golden.expected["threshold"]]:
            key = base64.b64decode(share).hex()
            status, body = server.request("PUT", "sys/unseal", {"key": key})
            assert status == 200, body
        assert body["sealed"] is False
        token = golden.expected["root_token"]
        status, body = server.request("GET", "zakupai/data/shared/db", token=token)
        assert (status, body["data"]["data"]) == (200, data)
    finally:
        server.stop()


@pytest.mark.real("seaweedfs")
def test_wrong_bucket_and_wrong_key_are_told_apart(
    seaweed: Seaweed, uploaded: tuple[Golden, str], tmp_path: Path
) -> None:
    golden, url = uploaded
    access, shares = options(seaweed, tmp_path), shares_file(golden, tmp_path)
    missing = zvault(
        "store", "verify", "s3://no-such-bucket", "--shares-file", shares, "--json", *access
    )
    assert missing.code == 8
    assert "no-such-bucket" in missing.json()["error"]["message"]
    text = (tmp_path / "credentials").read_text()
    (tmp_path / "credentials").write_text(text.replace(seaweed.secret_access_key, "x" * 40))
    refused = zvault("store", "verify", url, "--shares-file", shares, "--json", *access)
    assert refused.code == 8
    assert refused.json()["error"]["code"] == "storage-wrong-secret"
    assert "x" * 40 not in refused.out + refused.err
