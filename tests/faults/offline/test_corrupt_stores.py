"""A damaged store is never called whole: each damage is named with its entry."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.golden import Golden, unpack
from tests.support.golden_storage import DAY_NS, in_memory, shares_of, storage_of
from zvault.barrier.errors import MissingEntryError, UnreadableEntryError, WrongUnsealKeyError
from zvault.barrier.paths import KEYRING, PLAINTEXT_KEYS, STORED_KEYS
from zvault.base.clock import ManualClock
from zvault.base.errors import ZvaultError
from zvault.offline.errors import ForeignShareError, MountTableError
from zvault.offline.inspect import inspect_store
from zvault.offline.open import open_offline
from zvault.offline.proof import prove_unseal_key
from zvault.offline.report import MAX_NAMED, Named, VerifyReport
from zvault.offline.verify import verify_store
from zvault.records import approle, kv2, leases, tokens
from zvault.records.mounts import TABLE_KEYS
from zvault.storage.api import Delete, Put, Storage
from zvault.storage.digest import read_entries
from zvault.storage.errors import CorruptEntryError
from zvault.storage.file import FileStorage
from zvault.storage.inmem import InMemStorage

CLOCK = ManualClock(DAY_NS)
TABLES = tuple(key for pair in TABLE_KEYS.values() for key in pair)


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    return unpack("vault-file", tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def values(golden: Golden) -> dict[str, bytes]:
    async def read() -> dict[str, bytes]:
        return {entry.key: entry.value async for entry in read_entries(storage_of(golden))}

    return asyncio.run(read())


@pytest.fixture
def storage(values: dict[str, bytes]) -> InMemStorage:
    return InMemStorage(dict(values), url="inmem:golden")


async def verified(storage: Storage, golden: Golden) -> VerifyReport:
    return await verify_store(storage, shares_of(golden), clock=CLOCK)


def sealed_keys(values: dict[str, bytes]) -> list[str]:
    """Entries behind the barrier that the opening of a store does not read itself."""
    return [
        key
        for key in sorted(values)
        if key not in PLAINTEXT_KEYS and key != KEYRING and not key.startswith(TABLES)
    ]


async def test_a_flipped_bit_in_any_entry_is_named(
    storage: InMemStorage, values: dict[str, bytes], golden: Golden
) -> None:
    keys = sealed_keys(values)
    for index, key in enumerate(keys):
        record = bytearray(values[key])
        # Every region of a record gets its turn: term, version, nonce, ciphertext, tag.
        record[(0, 4, 5, 17, -1)[index % 5]] ^= 1 << index % 8
        await storage.apply([Put(key, bytes(record))])
    report = await verified(storage, golden)
    assert not report.ok
    assert {item.key for item in report.unopened} == set(keys)


async def test_a_cut_entry_is_named(
    storage: InMemStorage, values: dict[str, bytes], golden: Golden
) -> None:
    keys = sealed_keys(values)[::7]
    for index, key in enumerate(keys):
        await storage.apply([Put(key, values[key][: index * 5 % len(values[key])])])
    report = await verified(storage, golden)
    assert {item.key for item in report.unopened} == set(keys)
    assert not report.ok


async def test_two_entries_that_changed_places_are_both_named(
    storage: InMemStorage, values: dict[str, bytes], golden: Golden
) -> None:
    one, other = "sys/policy/billing", "sys/policy/calc"
    await storage.apply([Put(one, values[other]), Put(other, values[one])])
    report = await verified(storage, golden)
    assert {item.key for item in report.unopened} == {one, other}
    assert all("authentication" in item.reason for item in report.unopened)


async def test_an_older_version_of_an_entry_opens_but_a_foreign_one_does_not(
    storage: InMemStorage, golden: Golden, tmp_path: Path
) -> None:
    _, other = await in_memory("vault-audited", tmp_path)
    foreign = await other.get("sys/policy/calc")
    assert foreign is not None
    await storage.apply([Put("sys/policy/calc", foreign), Put("sys/policy/new", b"not ciphertext")])
    report = await verified(storage, golden)
    assert {item.key for item in report.unopened} == {"sys/policy/calc", "sys/policy/new"}


async def test_an_entry_that_decrypts_and_is_no_record_is_named(
    storage: InMemStorage, golden: Golden
) -> None:
    store = await open_offline(storage, shares_of(golden))
    kv1 = next(m for m in store.mounts.engines if m.path == "legacy/").view_prefix + "x"
    broken = {
        "sys/policy/x": b"{",
        "sys/token/id/x": b"[]",
        "sys/expire/id/a/x": b'{"expire_time":"yesterday"}',
        kv1: b"not json",
    }
    await store.barrier.apply([Put(key, value) for key, value in broken.items()])
    report = await verified(storage, golden)
    assert {item.key for item in report.unopened} == set(broken)
    assert all(item.reason.startswith("it decrypts, but") for item in report.unopened)


@pytest.mark.parametrize(
    ("key", "damage", "expected"),
    [
        (KEYRING, None, MissingEntryError),
        (KEYRING, lambda v: v[:-1] + bytes([v[-1] ^ 1]), UnreadableEntryError),
        (STORED_KEYS, None, MissingEntryError),
        (STORED_KEYS, lambda v: v[:30], UnreadableEntryError),
        (STORED_KEYS, lambda v: v[:20] + bytes([v[20] ^ 1]) + v[21:], WrongUnsealKeyError),
        ("core/mounts", lambda v: v[:-1] + bytes([v[-1] ^ 1]), MountTableError),
        ("core/auth", lambda v: v[:10], MountTableError),
    ],
)
async def test_what_the_opening_needs_has_its_own_errors(
    storage: InMemStorage,
    values: dict[str, bytes],
    golden: Golden,
    key: str,
    damage: Callable[[bytes], bytes] | None,
    expected: type[ZvaultError],
) -> None:
    await storage.apply([Delete(key) if damage is None else Put(key, damage(values[key]))])
    with pytest.raises(expected) as caught:
        await verified(storage, golden)
    assert key in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("key", ["core/mounts", "core/auth", "core/local-mounts"])
async def test_a_mount_table_that_is_gone_is_a_loss(
    storage: InMemStorage, golden: Golden, key: str
) -> None:
    await storage.apply([Delete(key)])
    report = await verified(storage, golden)
    assert not report.ok
    lost = [f for f in report.findings if f.is_loss and "mount table" in f.problem]
    assert lost
    assert {f.key for f in lost} == {key.replace("local-", "")}


async def test_tokens_that_are_gone_with_their_salt_are_a_loss(
    storage: InMemStorage, golden: Golden
) -> None:
    keys = [key for key in await _keys(storage) if key.startswith("sys/token/")]
    await storage.apply([Delete(key) for key in keys])
    report = await verified(storage, golden)
    assert [f.key for f in report.findings if f.is_loss] == [tokens.SALT_KEY]


async def test_lost_version_data_is_named_with_its_secret(
    storage: InMemStorage, golden: Golden
) -> None:
    store = await open_offline(storage, shares_of(golden))
    mount = store.mounts.engine_of("zakupai/")
    prefix = f"{mount.view_prefix}{mount.backend_aware_uuid}/"
    gone = [key for key in (await _keys(storage)) if key.startswith(prefix + "versions/")][::9]
    await storage.apply([Delete(key) for key in gone])
    report = await verified(storage, golden)
    assert not report.ok
    lost = [finding for finding in report.findings if finding.is_loss]
    assert len(lost) == len(gone)
    assert all(f.problem.startswith("version ") and "zakupai/" in f.problem for f in lost)
    assert all(kv2.METADATA_PREFIX in f.key for f in lost)


async def test_lost_metadata_leaves_its_versions_as_leftovers(
    storage: InMemStorage, golden: Golden
) -> None:
    before = await verified(storage, golden)
    key = next(k for k in await _keys(storage) if "/metadata/" in k and "policy" not in k)
    await storage.apply([Delete(key)])
    report = await verified(storage, golden)
    assert report.counts.secrets_kv2 == before.counts.secrets_kv2 - 1
    assert report.findings_count > 0
    assert all("no metadata names" in finding.problem for finding in report.findings)


async def test_a_lost_name_policy_is_a_loss(storage: InMemStorage, golden: Golden) -> None:
    key = next(k for k in await _keys(storage) if k.endswith("/policy/metadata"))
    await storage.apply([Delete(key)])
    report = await verified(storage, golden)
    assert not report.ok
    assert report.losses == report.counts.secrets_kv2


@pytest.mark.parametrize(
    ("prefix", "problem", "is_loss"),
    [
        (tokens.ID_PREFIX, "leftover: the token of this", False),
        (tokens.ACCESSOR_PREFIX, "its accessor entry is missing", False),
        ("sys/expire/id/", "it has no lease", False),
        ("logical/{identity}/packer/buckets/", "identity entity is missing", True),
        ("auth/{approle}/accessor/", "a login with it is refused", False),
        ("auth/{approle}/role_id/", "no login works", True),
        ("auth/{approle}/role/", "the role of this secret id is gone", False),
    ],
)
async def test_one_half_of_a_pair_is_missed_by_the_other(
    storage: InMemStorage, golden: Golden, prefix: str, problem: str, is_loss: bool
) -> None:
    store = await open_offline(storage, shares_of(golden))
    uuids = {m.type: m.uuid for m in store.mounts.all}
    prefix = prefix.format(**uuids)
    keys = [key for key in await _keys(storage) if key.startswith(prefix)]
    assert len(keys) > 1
    await storage.apply([Delete(keys[0])])
    report = await verified(storage, golden)
    fitting = [finding for finding in report.findings if problem in finding.problem]
    assert fitting
    assert {finding.is_loss for finding in fitting} == {is_loss}
    assert report.ok is not is_loss


async def test_a_token_under_another_name_is_a_loss(storage: InMemStorage, golden: Golden) -> None:
    store = await open_offline(storage, shares_of(golden))
    key = next(k for k in await _keys(storage) if k.startswith(tokens.ID_PREFIX))
    entry = await store.barrier.get(key)
    assert entry is not None
    moved = tokens.ID_PREFIX + "h" + "0" * 64
    await store.barrier.apply([Put(moved, entry)])
    report = await verified(storage, golden)
    assert [f.key for f in report.findings if f.is_loss] == [moved]


async def test_a_lease_under_another_name_is_a_loss(storage: InMemStorage, golden: Golden) -> None:
    store = await open_offline(storage, shares_of(golden))
    key = next(k for k in await _keys(storage) if k.startswith(f"{leases.ID_PREFIX}auth/"))
    entry = await store.barrier.get(key)
    assert entry is not None
    moved = key[:-4] + "0000"
    await store.barrier.apply([Put(moved, entry)])
    report = await verified(storage, golden)
    assert [f.key for f in report.findings if f.is_loss] == [moved]


def test_what_is_not_named_any_more_is_still_counted() -> None:
    named = Named()
    for number in range(MAX_NAMED + 3):
        named.add(number)
    assert (len(named.items), named.total) == (MAX_NAMED, MAX_NAMED + 3)


async def test_entries_of_no_mount_are_named_by_their_prefix(
    storage: InMemStorage, golden: Golden
) -> None:
    store = await open_offline(storage, shares_of(golden))
    orphan = "logical/00000000-0000-0000-0000-000000000000/"
    await store.barrier.apply([Put(f"{orphan}{n}", b"{}") for n in range(3)])
    report = await verified(storage, golden)
    assert [(f.key, f.problem) for f in report.findings] == [
        (orphan, "orphan prefix: 3 entries of no mount")
    ]
    assert report.ok


async def test_a_policy_whose_rules_do_not_parse_is_named(
    storage: InMemStorage, golden: Golden
) -> None:
    store = await open_offline(storage, shares_of(golden))
    await store.barrier.apply([Put("sys/policy/bad", json.dumps({"Raw": 'path "a'}).encode())])
    report = await verified(storage, golden)
    assert [f.key for f in report.findings] == ["sys/policy/bad"]
    assert "parse" in report.findings[0].problem


async def test_a_migration_mark_is_named(storage: InMemStorage, golden: Golden) -> None:
    await storage.apply([Put("core/migration", b"{}"), Put("core/lock", b"x")])
    report = await verified(storage, golden)
    assert [f.key for f in report.findings] == ["core/migration"]
    assert report.counts.skipped == 2


async def test_one_wrong_share_among_enough_right_ones_is_named_by_its_number(
    storage: InMemStorage, golden: Golden, tmp_path: Path
) -> None:
    shares = shares_of(golden)
    other, _ = await in_memory("vault-audited", tmp_path)
    given = [shares[0], shares_of(other)[1], shares[2], shares[3]]
    with pytest.raises(ForeignShareError, match="share 2 of the 4 given"):
        await prove_unseal_key(storage, given)
    with pytest.raises(WrongUnsealKeyError):
        await prove_unseal_key(storage, given[:3])


async def test_opening_and_verifying_write_nothing(
    storage: InMemStorage, values: dict[str, bytes], golden: Golden
) -> None:
    await verified(storage, golden)
    assert {entry.key: entry.value async for entry in read_entries(storage)} == values


async def _keys(storage: InMemStorage) -> list[str]:
    return [entry.key async for entry in read_entries(storage)]


class _Live(InMemStorage):
    """A store a server writes to: an entry goes between listing and reading."""

    def __init__(self, values: dict[str, bytes], going: set[str]) -> None:
        super().__init__(values)
        self.going = going

    async def get(self, key: str) -> bytes | None:
        if key in self.going:
            await self.apply([Delete(key)])
        return await super().get(key)


async def test_an_entry_that_goes_while_reading_is_no_damage(
    values: dict[str, bytes], golden: Golden
) -> None:
    going = {key for key in values if key.startswith("sys/token/parent/")}
    report = await verified(_Live(dict(values), going), golden)
    assert report.ok
    assert report.is_live
    assert report.vanished == len(going)


class _Rotating(InMemStorage):
    """A store that a server rotates in the middle of the walk."""

    rotate: Callable[[], object] | None = None

    async def get(self, key: str) -> bytes | None:
        if key.startswith("logical/") and self.rotate is not None:
            rotate, self.rotate = self.rotate, None
            await rotate()  # type: ignore[misc]
        return await super().get(key)


async def test_a_rotation_during_the_walk_is_no_damage(
    values: dict[str, bytes], golden: Golden
) -> None:
    storage = _Rotating(dict(values))
    server = (await open_offline(storage, shares_of(golden))).barrier

    async def rotate() -> None:
        await server.rotate()
        await server.apply([Put("sys/policy/zz", json.dumps({"Raw": ""}).encode())])

    reports = []
    for action in (None, rotate):
        storage.rotate = action
        reports.append(await verify_store(storage, shares_of(golden), clock=CLOCK, parallel=1))
    assert reports[1].ok
    assert reports[1].counts.policies == reports[0].counts.policies + 1
    assert reports[1].terms == (1, 2)


# On real files: what a killed server, a full disk or a careless hand leaves.


@pytest.fixture
def tree(golden: Golden, tmp_path: Path) -> Path:
    return Path(shutil.copytree(golden.data, tmp_path / "data"))


async def verified_tree(tree: Path, golden: Golden) -> VerifyReport:
    return await verified(FileStorage.open(tree, read_only=True), golden)


@pytest.mark.parametrize("keep", [0, 1, 10, -3])
async def test_a_truncated_file_is_named(tree: Path, golden: Golden, keep: int) -> None:
    victim = tree / "sys/policy/_billing"
    victim.write_bytes(victim.read_bytes()[:keep])
    report = await verified_tree(tree, golden)
    assert not report.ok
    assert [item.key for item in report.unopened] == ["sys/policy/billing"]


async def test_a_half_written_temporary_file_is_named_as_a_leftover(
    tree: Path, golden: Golden
) -> None:
    shutil.copy(tree / "sys/policy/_billing", tree / "sys/policy/_calc.temp")
    (tree / "core/_keyring.temp").write_bytes(b'{"Val')
    report = await verified_tree(tree, golden)
    assert sorted(item.key for item in report.unopened) == [
        "core/keyring.temp",
        "sys/policy/calc.temp",
    ]
    assert all("leftover of a killed server" in item.reason for item in report.unopened)
    found = await inspect_store(FileStorage.open(tree, read_only=True))
    assert [s.key for s in found.suspicions] == ["core/keyring.temp", "sys/policy/calc.temp"]


async def test_a_stray_file_is_named(tree: Path, golden: Golden) -> None:
    (tree / "sys/policy/README").write_text("hello")
    report = await verified_tree(tree, golden)
    assert [item.key for item in report.unopened] == ["sys/policy/README"]
    assert not report.ok


@pytest.mark.parametrize("part", ["/versions/", "/metadata/"])
async def test_every_damaged_file_of_a_secret_is_named_and_the_walk_goes_on(
    tree: Path, golden: Golden, part: str
) -> None:
    victims = [p for p in sorted(tree.rglob("_*")) if part in str(p) and p.is_file()][::3]
    for victim in victims:
        victim.write_bytes(victim.read_bytes()[:40])
    (tree / "sys/policy/_billing").write_bytes(b"x")
    report = await verified_tree(tree, golden)
    assert report.unopened_count == len(victims) + 1
    assert "sys/policy/billing" in {item.key for item in report.unopened}


async def test_a_renamed_file_is_named(tree: Path, golden: Golden) -> None:
    (tree / "sys/policy/_billing").rename(tree / "sys/policy/_renamed")
    report = await verified_tree(tree, golden)
    assert [item.key for item in report.unopened] == ["sys/policy/renamed"]


async def test_a_damaged_keyring_file_is_named_by_its_key(tree: Path, golden: Golden) -> None:
    (tree / "core/_keyring").write_bytes(b'{"Value":"AAAA')
    with pytest.raises(CorruptEntryError, match="core/keyring"):
        await verified_tree(tree, golden)


async def test_an_empty_keyring_file_is_a_missing_keyring(tree: Path, golden: Golden) -> None:
    (tree / "core/_keyring").write_bytes(b"")
    with pytest.raises(MissingEntryError, match="core/keyring"):
        await verified_tree(tree, golden)


async def test_inspection_needs_no_key_and_names_what_is_odd(tree: Path) -> None:
    whole = await inspect_store(FileStorage.open(tree, read_only=True))
    assert whole.is_initialized
    assert whole.suspicions_count == 0
    assert whole.seal is not None
    assert (whole.family, whole.seal.secret_shares, whole.seal.secret_threshold) == ("vault", 5, 3)
    assert whole.entries == sum(whole.by_prefix.values()) == 172
    assert whole.by_prefix["sys/token"] == 18
    assert whole.terms == {1: 169}
    (tree / "core/_keyring").unlink()
    (tree / "core/_seal-config").unlink()
    (tree / "core/_lock").write_bytes(b'{"Value":"eA=="}\n')
    (tree / "core/_migration").write_bytes(b'{"Value":"e30="}\n')
    (tree / "sys/policy/_billing").write_bytes(b'{"Value":"AAAA"}\n')
    odd = await inspect_store(FileStorage.open(tree, read_only=True))
    assert not odd.is_initialized
    assert odd.skipped == 2
    named = {item.key: item.problem for item in odd.suspicions}
    assert named["sys/policy/billing"] == "no barrier record"
    assert "nothing decrypts" in named[""]
    assert "seal-config" in odd.seal_problem


@pytest.mark.parametrize(
    ("key", "content", "problem"),
    [
        ("core/_mounts", None, "missing"),
        ("core/_auth", None, "missing"),
        ("core/_seal-config", b'{"Value":"e30="}\n', "no seal configuration"),
        ("core/_seal-config", b'{"Val', "cut off"),
    ],
)
async def test_inspection_names_what_no_server_can_start_with(
    tree: Path, key: str, content: bytes | None, problem: str
) -> None:
    if content is None:
        (tree / key).unlink()
    else:
        (tree / key).write_bytes(content)
    found = await inspect_store(FileStorage.open(tree, read_only=True))
    named = {item.key: item.problem for item in found.suspicions}
    assert problem in named[key.replace("_", "")]


async def test_a_directory_that_is_no_store_is_not_initialised(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("x")
    found = await inspect_store(FileStorage.open(tmp_path, read_only=True))
    assert not found.is_initialized
    assert found.entries == 0
    assert found.suspicions[0].key == "file.txt"


async def test_secret_ids_of_a_renamed_role_are_leftovers(
    storage: InMemStorage, golden: Golden
) -> None:
    store = await open_offline(storage, shares_of(golden))
    prefix = next(m for m in store.mounts.auth if m.type == "approle").view_prefix
    key = prefix + approle.ROLE_PREFIX + "etl"
    role = await store.barrier.get(key)
    assert role is not None
    changed = approle.decode_role(role)
    changed = type(changed)(role_id=changed.role_id, hmac_key=os.urandom(8).hex())
    await store.barrier.apply([Put(key, approle.encode_role(changed))])
    report = await verified(storage, golden)
    assert sum("role of this secret id is gone" in f.problem for f in report.findings) == 1


async def test_namespaces_are_named_and_their_own_seals_said(
    storage: InMemStorage, golden: Golden
) -> None:
    store = await open_offline(storage, shares_of(golden))
    inside, sealed = "namespaces/11111111-2222/", "namespaces/33333333-4444/"
    await store.barrier.apply([Put(f"{inside}sys/policy/x", b"{}")])
    await storage.apply([Put(f"{sealed}sys/policy/x", b"\0\0\0\1\2" + bytes(40))])
    report = await verified(storage, golden)
    assert [(f.key, f.problem) for f in report.findings] == [
        (inside, "a namespace: its 1 entries decrypt and are not looked into")
    ]
    assert [item.key for item in report.unopened] == [f"{sealed}sys/policy/x"]
    assert "seal of its own" in report.unopened[0].reason


async def test_transit_and_userpass_entries_that_are_no_json_are_named(
    storage: InMemStorage, golden: Golden
) -> None:
    store = await open_offline(storage, shares_of(golden))
    prefixes = {mount.type: mount.view_prefix for mount in store.mounts.all}
    broken = [prefixes["transit"] + "policy/x", prefixes["userpass"] + "user/x"]
    await store.barrier.apply([Put(key, b"not json") for key in broken])
    report = await verified(storage, golden)
    assert sorted(item.key for item in report.unopened) == sorted(broken)
