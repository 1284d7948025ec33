"""Stores that real Vault and OpenBao wrote open with their shares and hold what they must.

These must pass for ever: they are the promise that an old store is never locked out.
"""

import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.golden import Golden, unpack
from tests.support.golden_storage import (
    ALL_STORES,
    DAY_NS,
    in_memory,
    shares_of,
    storage_of,
    threshold_of,
)
from zvault.barrier.errors import WrongUnsealKeyError
from zvault.barrier.paths import KEYRING, PLAINTEXT_KEYS
from zvault.base.clock import ManualClock
from zvault.base.gotime import format_duration, format_time, parse_time
from zvault.offline.errors import SecretGoneError
from zvault.offline.open import OfflineStore, open_offline
from zvault.offline.proof import prove_unseal_key
from zvault.offline.read import read_secret
from zvault.offline.verify import verify_store
from zvault.records import approle, identity, kv2, leases, policies, ssc, tokens
from zvault.records.errors import RecordError
from zvault.records.keysutil import decode_path_policy
from zvault.records.kv2_paths import PathCodec
from zvault.storage.walk import walk

CLOCK = ManualClock(DAY_NS)


@dataclass(frozen=True)
class Opened:
    golden: Golden
    store: OfflineStore

    @property
    def expected(self) -> dict[str, Any]:
        return self.golden.expected

    async def get(self, key: str) -> bytes:
        value = await self.store.barrier.get(key)
        assert value is not None, key
        return value

    def auth_prefix(self, path: str) -> str:
        return next(m.view_prefix for m in self.store.mounts.auth if m.path == path)

    def kv2_prefix(self, path: str) -> str:
        mount = self.store.mounts.engine_of(path)
        return f"{mount.view_prefix}{mount.backend_aware_uuid}/"


@pytest.fixture(scope="module", params=ALL_STORES)
def unpacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    """Read only, so once is enough."""
    return unpack(request.param, tmp_path_factory.mktemp("museum"))


@pytest.fixture
async def opened(unpacked: Golden) -> AsyncIterator[Opened]:
    golden, storage = unpacked, storage_of(unpacked)
    yield Opened(golden, await open_offline(storage, shares_of(golden)[: threshold_of(golden)]))
    await storage.close()


@pytest.mark.parametrize("name", ALL_STORES)
async def test_every_choice_of_threshold_many_shares_opens_the_store(
    name: str, tmp_path: Path
) -> None:
    golden, storage = await in_memory(name, tmp_path)
    for chosen in itertools.combinations(shares_of(golden), threshold_of(golden)):
        await prove_unseal_key(storage, chosen)


async def test_shares_from_before_a_rekey_are_dead(tmp_path: Path) -> None:
    golden, storage = await in_memory("vault-rotated-rekeyed", tmp_path)
    with pytest.raises(WrongUnsealKeyError):
        await prove_unseal_key(storage, shares_of(golden, "old_shares")[:4])


async def test_every_entry_opens(opened: Opened) -> None:
    count = 0
    async for key in walk(opened.store.storage):
        if key not in PLAINTEXT_KEYS and key != KEYRING:
            await opened.get(key)
            count += 1
    assert count > 150


async def test_the_family_is_the_products(opened: Opened) -> None:
    assert opened.store.family == ("openbao" if "openbao" in opened.golden.name else "vault")


async def test_mounts_are_those_the_server_listed(opened: Opened) -> None:
    for entries, listed in (
        (opened.store.mounts.engines, opened.expected["mounts"]),
        (opened.store.mounts.auth, opened.expected["auth"]),
    ):
        assert sorted(entry.path for entry in entries) == sorted(listed)
        for entry in entries:
            body = listed[entry.path]
            assert (entry.accessor, entry.local) == (body["accessor"], body["local"])
            assert entry.description == body["description"]
            assert entry.options == body.get("options", entry.options)
            assert entry.config.max_lease_ttl_ns == body["config"]["max_lease_ttl"]


async def test_every_version_of_every_kv2_secret_reads_as_the_server_answered(
    opened: Opened,
) -> None:
    for path, secret in opened.expected["kv2"].items():
        for number, data in secret["readable"].items():
            work = read_secret(opened.store, f"zakupai/{path}", version=int(number), now_ns=DAY_NS)
            if data is None:
                with pytest.raises(SecretGoneError):
                    await work
            else:
                found = await work
                assert (found.data, found.version) == (data, int(number)), path


async def test_kv2_metadata_is_what_the_server_answered(opened: Opened) -> None:
    prefix = opened.kv2_prefix("zakupai/")
    codec = PathCodec(decode_path_policy(await opened.get(prefix + kv2.POLICY_KEY)))
    for path, secret in opened.expected["kv2"].items():
        metadata = kv2.parse_key_metadata(await opened.get(prefix + codec.metadata_key(path)))
        listed = secret["metadata"]
        assert metadata.key == path
        assert metadata.current_version == listed["current_version"]
        assert metadata.oldest_version == listed["oldest_version"]
        assert metadata.max_versions == listed["max_versions"]
        assert metadata.cas_required == listed["cas_required"]
        assert dict(metadata.custom_metadata) == (listed["custom_metadata"] or {})
        assert format_time(kv2.timestamp_ns(metadata.created_time)) == listed["created_time"]
        assert format_time(kv2.timestamp_ns(metadata.updated_time)) == listed["updated_time"]
        duration = format_duration(kv2.duration_ns(metadata.delete_version_after))
        assert duration == listed["delete_version_after"]
        assert sorted(map(str, metadata.versions)) == sorted(listed["versions"])
        for number, version in listed["versions"].items():
            ours = metadata.versions[int(number)]
            assert ours.destroyed == version["destroyed"]
            assert ours.HasField("deletion_time") == bool(version["deletion_time"])
            if version["deletion_time"]:
                assert kv2.timestamp_ns(ours.deletion_time) == parse_time(version["deletion_time"])


async def test_the_tree_of_names_decrypts_to_exactly_the_paths(opened: Opened) -> None:
    prefix = opened.kv2_prefix("zakupai/")
    codec = PathCodec(decode_path_policy(await opened.get(prefix + kv2.POLICY_KEY)))
    paths = []
    async for key in walk(opened.store.storage, prefix=prefix + kv2.METADATA_PREFIX):
        parents: list[str] = []
        for name in key.removeprefix(prefix + kv2.METADATA_PREFIX).split("/"):
            parents.append(codec.decrypt_component(name, "/".join(parents)))
        paths.append("/".join(parents))
    assert sorted(paths) == sorted(opened.expected["kv2"])


async def test_every_kv1_secret_reads_as_the_server_answered(opened: Opened) -> None:
    for path, data in opened.expected["kv1"].items():
        found = await read_secret(opened.store, f"legacy/{path}", version=None, now_ns=DAY_NS)
        assert found.data == data


async def test_policies_are_the_text_that_was_written(opened: Opened) -> None:
    for name, text in opened.expected["policies"].items():
        assert policies.decode_policy(await opened.get(policies.PREFIX + name)).raw == text


async def test_role_ids_and_secret_ids_are_found_by_their_hashes(opened: Opened) -> None:
    prefix = opened.auth_prefix("approle/")
    salt = (await opened.get(prefix + approle.SALT_KEY)).decode()
    for name, given in opened.expected["approle"].items():
        index = approle.ROLE_ID_PREFIX + approle.salted(salt, given["role_id"])
        assert approle.decode_role_id(await opened.get(prefix + index)).name == name
        role = approle.decode_role(await opened.get(prefix + approle.ROLE_PREFIX + name))
        assert role.role_id == given["role_id"]
        key = role.secret_id_key(name, given["secret_id"])
        entry = approle.decode_secret_id(await opened.get(prefix + key))
        assert entry.secret_id_accessor == given["secret_id_accessor"]
        accessor = role.accessor_prefix + approle.salted(salt, entry.secret_id_accessor)
        found = approle.decode_accessor(await opened.get(prefix + accessor))
        assert found.secret_id_hmac == key.rpartition("/")[2]


async def test_tokens_resolve_to_their_entry_accessor_and_lease(opened: Opened) -> None:
    salt = (await opened.get(tokens.SALT_KEY)).decode()
    header_key = await opened.get(ssc.HEADER_KEY_PATH)
    for given in opened.expected["tokens"]:
        assert ssc.is_external(given["token"]) == (opened.store.family == "vault")
        inner = ssc.decode(given["token"], header_key)
        entry = tokens.decode_token(
            await opened.get(tokens.ID_PREFIX + tokens.salt_id(salt, inner))
        )
        assert entry.id == inner
        assert (entry.accessor, entry.path) == (given["accessor"], given["path"])
        assert sorted(entry.policies) == sorted(given["policies"])
        accessor_key = tokens.ACCESSOR_PREFIX + tokens.salt_id(salt, given["accessor"])
        accessor = tokens.decode_accessor(await opened.get(accessor_key))
        assert (accessor.token_id, accessor.accessor_id) == (inner, given["accessor"])
        lease_id = leases.lease_id_of_token(entry.path, tokens.salt_id(salt, inner))
        lease = leases.decode_lease(await opened.get(leases.ID_PREFIX + lease_id))
        assert lease.lease_id == lease_id
        assert lease.auth is not None
        assert lease.auth.accessor == given["accessor"]
        assert lease.expire_time_ns > DAY_NS


async def test_the_root_token_is_a_root_token(opened: Opened) -> None:
    salt = (await opened.get(tokens.SALT_KEY)).decode()
    key = tokens.ID_PREFIX + tokens.salt_id(salt, opened.expected["root_token"])
    assert tokens.decode_token(await opened.get(key)).is_root


async def test_a_token_id_signed_by_another_vault_is_refused(tmp_path: Path) -> None:
    golden, storage = await in_memory("vault-file", tmp_path)
    store = await open_offline(storage, shares_of(golden))
    header_key = await store.barrier.get(ssc.HEADER_KEY_PATH)
    other = json.loads((unpack("vault-audited", tmp_path).root / "expected.json").read_text())
    with pytest.raises(RecordError):
        ssc.decode(other["tokens"][0]["token"], header_key)


async def test_logins_have_entities_in_the_bucket_of_their_id(opened: Opened) -> None:
    mount = next(m for m in opened.store.mounts.engines if m.type == "identity")
    names = set()
    async for key in walk(opened.store.storage, prefix=mount.view_prefix + "packer/buckets/"):
        bucket = identity.decode_bucket(await opened.get(key))
        assert mount.view_prefix + bucket.key == key
        for entity in identity.entities_of(bucket):
            assert identity.bucket_key(identity.ENTITY_BUCKETS, entity.id) == bucket.key
            names.update(alias.name for alias in entity.aliases)
    assert names == {given["role_id"] for given in opened.expected["approle"].values()}


async def test_verification_counts_what_was_written(opened: Opened) -> None:
    report = await verify_store(opened.store.storage, shares_of(opened.golden), clock=CLOCK)
    expected = opened.expected
    assert report.ok, report.describe()
    assert report.findings == ()
    assert report.mounts == len(expected["mounts"])
    assert report.counts.auth_methods == len(expected["auth"])
    assert report.counts.secrets_kv1 == len(expected["kv1"])
    assert report.counts.secrets_kv2 == len(expected["kv2"])
    assert report.secrets == len(expected["kv1"]) + len(expected["kv2"])
    readable = [d for secret in expected["kv2"].values() for d in secret["readable"].values()]
    assert report.counts.versions_readable == sum(data is not None for data in readable)
    assert report.roles == report.counts.secret_ids == len(expected["approle"])
    assert report.tokens == len(expected["tokens"]) + 1
    assert report.counts.leases == len(expected["tokens"])
    builtin = 3 if report.family == "vault" else 2
    assert report.policies == len(expected["policies"]) + builtin
    assert report.shares == len(expected["shares"])
    assert report.threshold == threshold_of(opened.golden)
    assert report.terms[-1] == expected["key_status"]["term"]


async def test_records_are_rewritten_byte_for_byte(tmp_path: Path) -> None:
    """What we would write back is what Vault wrote, so a diff shows only real changes."""
    golden, storage = await in_memory("vault-file", tmp_path)
    barrier = (await open_offline(storage, shares_of(golden))).barrier
    rewriters = {
        tokens.ID_PREFIX: lambda d: tokens.encode_token(tokens.decode_token(d)),
        tokens.ACCESSOR_PREFIX: lambda d: tokens.encode_accessor(tokens.decode_accessor(d)),
        leases.ID_PREFIX: lambda d: leases.encode_lease(leases.decode_lease(d)),
        policies.PREFIX: lambda d: policies.encode_policy(policies.decode_policy(d)),
        "auth/": _rewrite_approle,
    }
    checked = 0
    for prefix, rewrite in rewriters.items():
        async for key in walk(storage, prefix=prefix):
            data = await barrier.get(key)
            assert data is not None
            if prefix != "auth/" or "/role/" in key or "/secret_id/" in key:
                assert rewrite(data) == data, key
                checked += 1
    assert checked == 8 + 8 + 7 + 8 + 10


def _rewrite_approle(data: bytes) -> bytes:
    if b"hmac_key" in data:
        return approle.encode_role(approle.decode_role(data))
    return approle.encode_secret_id(approle.decode_secret_id(data))
