"""Key files made from, and proven against, stores that real servers wrote."""

import base64
import json
from pathlib import Path

import pytest

from tests.support.golden import Golden, unpack
from tests.support.keyfiles import PASSWORD, make_shares
from zvault.base.clock import ManualClock
from zvault.base.errors import PreconditionError, VerificationError, ZvaultError
from zvault.base.secret import Secret
from zvault.offline.proof import prove_unseal_key
from zvault.ops.unseal.errors import (
    ForeignKeyFileError,
    KeyFileSharesError,
    WrongPasswordError,
)
from zvault.ops.unseal.keeping import (
    Maker,
    destroy_key_file,
    load_key_file,
    prove_key_file,
)
from zvault.ops.unseal.keyfile_header import MIN_ITERATIONS
from zvault.storage.file import FileStorage

NEW = Secret("the new password, also of more than thirty-two characters")


@pytest.fixture
def golden(tmp_path: Path) -> Golden:
    return unpack("vault-file", tmp_path)


@pytest.fixture
def store(golden: Golden) -> FileStorage:
    return FileStorage.open(golden.data, read_only=True)


def shares_of(golden: Golden, key: str = "shares") -> list[Secret]:
    return [Secret(base64.b64decode(share)) for share in golden.expected[key]]


def maker() -> Maker:
    return Maker(prove_unseal_key, ManualClock(), iterations=MIN_ITERATIONS)


async def test_a_key_file_is_made_private_and_opens_the_store(
    tmp_path: Path, golden: Golden, store: FileStorage
) -> None:
    path = tmp_path / "creds" / "key.enc"
    header = await maker().create(path, store, shares_of(golden)[2:], PASSWORD, "prod")
    assert path.stat().st_mode & 0o777 == 0o600
    assert (header.threshold, header.total, header.held) == (3, 5, 3)
    assert header.vault.name == "prod"
    assert header.vault.cluster_name.startswith("vault-cluster-")
    assert len(header.vault.cluster_id) == 36
    found = await prove_key_file(load_key_file(path), PASSWORD, store, prove_unseal_key)
    assert found == shares_of(golden)[2:]


async def test_shares_of_another_vault_make_no_file(tmp_path: Path, store: FileStorage) -> None:
    with pytest.raises(VerificationError):
        await maker().create(tmp_path / "key", store, make_shares(3), PASSWORD, "")
    assert list(tmp_path.glob("*key*")) == []


async def test_too_few_shares_make_no_file(
    tmp_path: Path, golden: Golden, store: FileStorage
) -> None:
    with pytest.raises(ZvaultError, match="2"):
        await maker().create(tmp_path / "key", store, shares_of(golden)[:2], PASSWORD, "")
    assert list(tmp_path.glob("*key*")) == []


async def test_dead_shares_after_a_rekey_make_no_file(tmp_path: Path) -> None:
    rekeyed = unpack("vault-rotated-rekeyed", tmp_path)
    store = FileStorage.open(rekeyed.data, read_only=True)
    old = shares_of(rekeyed, "old_shares")
    with pytest.raises(VerificationError):
        await maker().create(tmp_path / "key", store, old[:4], PASSWORD, "")
    header = await maker().create(tmp_path / "key", store, shares_of(rekeyed)[:4], PASSWORD, "")
    assert (header.threshold, header.total) == (4, 7)


async def test_an_existing_file_is_not_replaced_by_create(
    tmp_path: Path, golden: Golden, store: FileStorage
) -> None:
    path = tmp_path / "key"
    await maker().create(path, store, shares_of(golden)[:3], PASSWORD, "")
    before = path.read_bytes()
    with pytest.raises(PreconditionError, match="exists"):
        await maker().create(path, store, shares_of(golden)[:3], NEW, "")
    assert path.read_bytes() == before


async def test_rotating_changes_the_password_and_keeps_the_shares(
    tmp_path: Path, golden: Golden, store: FileStorage
) -> None:
    path = tmp_path / "key"
    await maker().create(path, store, shares_of(golden)[:3], PASSWORD, "prod")
    await maker().rotate(path, store, PASSWORD, NEW)
    assert load_key_file(path).open(NEW) == shares_of(golden)[:3]
    assert load_key_file(path).header.vault.name == "prod"
    with pytest.raises(WrongPasswordError):
        load_key_file(path).open(PASSWORD)
    assert [p.name for p in tmp_path.iterdir() if "key" in p.name] == ["key"]


async def test_a_rotation_that_cannot_be_proven_leaves_the_old_file(
    tmp_path: Path, golden: Golden, store: FileStorage
) -> None:
    path = tmp_path / "key"
    await maker().create(path, store, shares_of(golden)[:3], PASSWORD, "")
    before = path.read_bytes()
    with pytest.raises(VerificationError):
        await maker().rotate(path, store, PASSWORD, NEW, make_shares(3))
    with pytest.raises(WrongPasswordError):
        await maker().rotate(path, store, NEW, NEW)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if "key" in p.name] == ["key"]


async def test_a_file_of_another_vault_is_named_foreign(
    tmp_path: Path, golden: Golden, store: FileStorage
) -> None:
    path = tmp_path / "key"
    await maker().create(path, store, shares_of(golden)[:3], PASSWORD, "")
    other = FileStorage.open(unpack("openbao-file", tmp_path).data, read_only=True)
    with pytest.raises(ForeignKeyFileError, match="another Vault"):
        await prove_key_file(load_key_file(path), PASSWORD, other, prove_unseal_key)


async def test_a_store_that_shares_do_not_open_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    store = FileStorage.open(tmp_path / "empty", read_only=True)
    with pytest.raises(KeyFileSharesError, match="core/seal-config"):
        await maker().create(tmp_path / "key", store, make_shares(3), PASSWORD, "")


async def test_a_flipped_bit_in_the_stored_key_is_not_called_a_wrong_key_file(
    tmp_path: Path, golden: Golden, store: FileStorage
) -> None:
    path = tmp_path / "key"
    await maker().create(path, store, shares_of(golden)[:3], PASSWORD, "")
    entry = golden.data / "core" / "_keyring"
    body = json.loads(entry.read_text())
    raw = bytearray(base64.b64decode(body["Value"]))
    raw[40] ^= 1
    entry.write_text(json.dumps({"Value": base64.b64encode(raw).decode()}) + "\n")
    with pytest.raises(VerificationError, match="core/keyring"):
        await prove_key_file(load_key_file(path), PASSWORD, store, prove_unseal_key)


def test_destroying_wants_the_files_own_name_and_overwrites_first(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"x" * 500)
    link = tmp_path / "kept"
    link.hardlink_to(path)
    with pytest.raises(PreconditionError):
        destroy_key_file(path, "yes")
    assert path.exists()
    destroy_key_file(path, "key")
    assert not path.exists()
    assert link.stat().st_size == 500
    assert b"xxxx" not in link.read_bytes()


def test_destroying_takes_what_a_killed_run_left_with_it(tmp_path: Path) -> None:
    for name in ("key", ".key.new", ".key.123.partial", ".keyring", "key.other"):
        (tmp_path / name).write_bytes(b"x")
    destroy_key_file(tmp_path / "key", "key")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".keyring", "key.other"]


def test_destroying_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"x" * 10)
    (tmp_path / "key").symlink_to(tmp_path / "target")
    with pytest.raises(PreconditionError):
        destroy_key_file(tmp_path / "key", "key")
    assert (tmp_path / "target").read_bytes() == b"x" * 10
