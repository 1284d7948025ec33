"""A store that only the barrier room wrote is unsealed by a real OpenBao, and stays ours."""

import os
from pathlib import Path

import pytest

from tests.support.openbao import running
from zvault.barrier.unseal import (
    InitResult,
    combine_shares,
    initialize_store,
    read_seal_config,
    unseal_with_key,
)
from zvault.base.clock import SystemClock
from zvault.base.gotime import SECOND_NS
from zvault.offline.verify import verify_store
from zvault.records import tokens
from zvault.records.policies import PolicyEntry, encode_policy
from zvault.storage.api import Put
from zvault.storage.file import FileStorage

ROOT_TOKEN = "hvs." + "a" * 24
SALT = "11111111-2222-3333-4444-555555555555"


def root_token() -> list[Put]:
    entry = tokens.TokenEntry(
        id=ROOT_TOKEN,
        accessor="b" * 24,
        policies=("root",),
        path="auth/token/root",
        display_name="root",
        creation_time=SystemClock().now_ns() // SECOND_NS,
        cubbyhole_id="c" * 24,
    )
    accessor = tokens.AccessorEntry(ROOT_TOKEN, entry.accessor)
    return [
        Put(tokens.SALT_KEY, SALT.encode()),
        Put(
            tokens.ACCESSOR_PREFIX + tokens.salt_id(SALT, entry.accessor),
            tokens.encode_accessor(accessor),
        ),
        Put(tokens.ID_PREFIX + tokens.salt_id(SALT, ROOT_TOKEN), tokens.encode_token(entry)),
        Put("sys/policy/ours", encode_policy(PolicyEntry(raw='path "x" { policy = "read" }'))),
    ]


async def make(data: Path, family: str, shares: int, threshold: int) -> InitResult:
    storage = FileStorage.open(data)
    result = await initialize_store(
        storage,
        shares,
        threshold,
        family=family,
        random_bytes=os.urandom,
        clock=SystemClock(),
        entries=root_token(),
    )
    await result.barrier.rotate()
    await result.barrier.persist_encryption_count()
    await storage.close()
    return result


@pytest.mark.real("openbao-2.6.2")
@pytest.mark.parametrize(
    ("family", "shares", "threshold"), [("vault", 5, 3), ("openbao", 5, 3), ("openbao", 1, 1)]
)
async def test_openbao_unseals_what_we_initialised_and_rotated(
    tmp_path: Path, family: str, shares: int, threshold: int
) -> None:
    data = tmp_path / "data"
    result = await make(data, family, shares, threshold)
    with running(tmp_path, data) as server:
        for share in result.shares[-threshold:]:
            status, body = server.request("PUT", "sys/unseal", {"key": share.reveal().hex()})
            assert status == 200, body
        assert body["sealed"] is False
        assert (body["n"], body["t"]) == (shares, threshold)
        status, body = server.request("GET", "sys/policies/acl/ours", token=ROOT_TOKEN)
        assert (status, body["data"]["policy"]) == (200, 'path "x" { policy = "read" }')
        status, body = server.request("GET", "sys/key-status", token=ROOT_TOKEN)
        assert body["data"]["term"] == 2
        assert server.request("PUT", "sys/rotate", {}, token=ROOT_TOKEN)[0] in (200, 204)
        server.stop()
    storage = FileStorage.open(data, read_only=True)
    key = combine_shares(result.shares, await read_seal_config(storage))
    barrier = await unseal_with_key(storage, key)
    assert barrier.keyring.active.term == 3
    report = await verify_store(storage, result.shares)
    assert report.ok, report.describe()
    assert report.tokens == 1
