"""Backups of stores that real servers wrote: taken, read back, decrypted, restored."""

import base64
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.golden import Golden, unpack
from tests.support.golden_storage import shares_of, storage_of, threshold_of
from tests.support.keyfiles import PASSWORD, make_key_file, make_shares
from zvault.base.clock import ManualClock
from zvault.base.errors import VerificationError
from zvault.base.secret import Secret
from zvault.ops.backup.archive_read import read_archive
from zvault.ops.backup.catalog import Catalog
from zvault.ops.backup.check import open_backup
from zvault.ops.backup.errors import (
    BackupDamagedError,
    BackupNotFoundError,
    BackupPlaceError,
    BackupTruncatedError,
    BackupUnopenedError,
    DestinationFilledError,
)
from zvault.ops.backup.places import DirectoryPlace, StoragePlace
from zvault.ops.backup.record import BackupRecord
from zvault.ops.backup.restore import restore_to_directory
from zvault.ops.backup.spool import Spool
from zvault.ops.backup.take import Taker
from zvault.storage.api import Delete, Operation, Put, Storage
from zvault.storage.compare import compare_stores
from zvault.storage.digest import store_digest
from zvault.storage.file import FileStorage
from zvault.storage.inmem import InMemStorage

CLOCK = ManualClock(1_795_305_600_000_000_000)


@pytest.fixture
def golden(tmp_path: Path) -> Golden:
    return unpack("vault-file", tmp_path)


@pytest.fixture
def place(tmp_path: Path) -> DirectoryPlace:
    return DirectoryPlace(tmp_path / "backups")


def file_store(golden: Golden) -> FileStorage:
    return FileStorage.open(golden.data, read_only=True)


async def take(
    golden: Golden, place: DirectoryPlace, storage: Storage | None = None
) -> BackupRecord:
    return await Taker(place, CLOCK).take(storage or file_store(golden), shares_of(golden))


def names(place: DirectoryPlace) -> list[str]:
    return sorted(path.name for path in place.directory.iterdir())


def change_entry(golden: Golden, key: str, position: int = 30) -> None:
    """Flip a bit of an entry's value, keeping the file's form."""
    folder, _, name = key.rpartition("/")
    entry = golden.data / folder / f"_{name}"
    raw = bytearray(base64.b64decode(json.loads(entry.read_text())["Value"]))
    raw[position] ^= 1
    entry.write_text(json.dumps({"Value": base64.b64encode(raw).decode()}) + "\n")


def some_entry(golden: Golden) -> str:
    """A KV v2 version's key."""
    found = next(path for path in sorted(golden.data.rglob("versions/**/_*")))
    relative = found.relative_to(golden.data)
    return f"{relative.parent}/{relative.name[1:]}"


@pytest.mark.row("A4.1")
@pytest.mark.row("C4")
@pytest.mark.parametrize(
    "name", ["vault-file", "vault-rotated-rekeyed", "openbao-file", "vault-s3", "openbao-raft"]
)
async def test_every_golden_store_is_backed_up_verified_and_comes_back_equal(
    tmp_path: Path, place: DirectoryPlace, name: str
) -> None:
    golden = unpack(name, tmp_path)
    storage = storage_of(golden)
    shares = shares_of(golden)[: threshold_of(golden)]
    record = await Taker(place, CLOCK).take(storage, shares)
    assert record.verified
    assert record.problems == ()
    assert record.entries == (await store_digest(storage)).count == record.seen["entries"]
    async with open_backup(place, record.name, record.sha256) as backup:
        target = tmp_path / "restored"
        report = await restore_to_directory(backup, target, FileStorage.open, shares)
    assert report.decrypted
    restored = FileStorage.open(target, read_only=True)
    assert (await compare_stores(storage, restored)).equal
    assert (await store_digest(restored)).hex == record.store_digest
    await storage.close()


async def test_a_file_store_comes_back_file_for_file(
    tmp_path: Path, golden: Golden, place: DirectoryPlace
) -> None:
    record = await take(golden, place)
    async with open_backup(place, record.name) as backup:
        await restore_to_directory(backup, tmp_path / "restored", FileStorage.open, None)
    files = {
        path.relative_to(tmp_path / "restored"): path.read_bytes()
        for path in (tmp_path / "restored").rglob("*")
        if path.is_file()
    }
    assert files == {
        path.relative_to(golden.data): path.read_bytes()
        for path in golden.data.rglob("*")
        if path.is_file()
    }


async def test_the_folder_holds_the_file_and_its_record_and_both_are_private(
    golden: Golden, place: DirectoryPlace
) -> None:
    record = await take(golden, place)
    assert names(place) == [record.name, f"{record.name}.json"]
    assert place.directory.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in place.directory.iterdir())


async def test_a_backup_holds_no_key_file_no_password_and_no_share(
    golden: Golden, place: DirectoryPlace
) -> None:
    """Not even when they lie inside the data directory, where the predecessor kept them."""
    shares = shares_of(golden)
    key_file = make_key_file(shares[:3])
    (golden.data / "creds").mkdir()
    (golden.data / "creds" / "vault-unseal-key.enc").write_bytes(key_file)
    (golden.data / ".unseal-password").write_bytes(PASSWORD.reveal())
    (golden.data / "core" / "shares.json").write_text(json.dumps(golden.expected["shares"]))
    record = await take(golden, place)
    spool = Spool()
    with (place.directory / record.name).open("rb") as file:
        manifest = read_archive(file, spool, free_bytes=1 << 30)
    plain = b"".join(spool.read(key) or b"" for key in sorted(spool.keys()))
    spool.close()
    everything = plain + repr(manifest).encode() + (place.directory / names(place)[1]).read_bytes()
    for secret in (*shares, PASSWORD, Secret(golden.expected["root_token"])):
        raw = secret.reveal()
        for form in (raw, raw.hex().encode(), base64.b64encode(raw)):
            assert form not in everything
    assert b"zvault-key-file" not in everything
    assert {item.key for item in manifest.left_out} >= {"creds/vault-unseal-key.enc"}


async def test_wrong_shares_take_nothing(golden: Golden, place: DirectoryPlace) -> None:
    with pytest.raises(VerificationError):
        await Taker(place, CLOCK).take(file_store(golden), make_shares(3))
    assert not place.directory.exists() or names(place) == []


async def test_a_store_with_an_entry_that_does_not_open_is_backed_up_and_not_called_verified(
    golden: Golden, place: DirectoryPlace
) -> None:
    key = some_entry(golden)
    change_entry(golden, key)
    record = await take(golden, place)
    assert not record.verified
    assert any(key in problem for problem in record.problems)
    assert await Catalog(place, CLOCK).latest_verified() is None


async def test_a_torn_entry_is_named_and_the_backup_not_called_verified(
    golden: Golden, place: DirectoryPlace
) -> None:
    key = some_entry(golden)
    folder, _, name = key.rpartition("/")
    entry = golden.data / folder / f"_{name}"
    entry.write_bytes(entry.read_bytes()[:20])
    record = await take(golden, place)
    assert not record.verified
    assert any(key in problem for problem in record.problems)


async def test_leftovers_of_a_killed_server_are_left_out_and_named(
    golden: Golden, place: DirectoryPlace
) -> None:
    keyring = (golden.data / "core" / "_keyring").read_bytes()
    (golden.data / "core" / "_keyring.temp").write_bytes(keyring)
    (golden.data / "core" / "_mounts.temp").write_bytes(keyring[:10])
    record = await take(golden, place)
    assert record.verified
    async with open_backup(place, record.name) as backup:
        left_out = {item.key for item in backup.manifest.left_out}
    assert left_out == {"core/keyring.temp", "core/mounts.temp"}


async def test_verifying_again_notices_a_flipped_bit_a_cut_and_a_swap_and_records_it(
    golden: Golden, place: DirectoryPlace
) -> None:
    record = await take(golden, place)
    path, catalog = place.directory / record.name, Catalog(place, CLOCK)
    good = path.read_bytes()
    assert (await catalog.verify(record.name, shares_of(golden))).verified
    assert await catalog.damage(record.name) == ""
    path.write_bytes(good[:5000] + bytes([good[5000] ^ 1]) + good[5001:])
    assert "was changed since it was verified" in await catalog.damage(record.name)
    assert "never verified" in await catalog.damage("vault-backup-20200101T000000Z-000000.tar.zst")
    with pytest.raises(BackupDamagedError):
        await catalog.verify(record.name, shares_of(golden))
    assert await catalog.latest_verified() is None
    path.write_bytes(good[:-100])
    with pytest.raises(BackupTruncatedError):
        await catalog.verify(record.name, shares_of(golden))
    path.write_bytes(good)
    assert (await catalog.verify(record.name, shares_of(golden))).verified
    found = await catalog.latest_verified()
    assert found is not None
    assert found.name == record.name


async def test_wrong_shares_say_nothing_against_a_backup(
    golden: Golden, place: DirectoryPlace
) -> None:
    record = await take(golden, place)
    with pytest.raises(VerificationError):
        await Catalog(place, CLOCK).verify(record.name, make_shares(3))
    assert await Catalog(place, CLOCK).latest_verified() == record


async def test_a_file_replaced_by_another_good_backup_is_not_the_recorded_one(
    golden: Golden, place: DirectoryPlace
) -> None:
    first = await take(golden, place)
    shutil.rmtree(golden.data / "sys" / "policy")
    second = await take(golden, place)
    shutil.copy(place.directory / second.name, place.directory / first.name)
    with pytest.raises(BackupDamagedError, match="recorded"):
        await Catalog(place, CLOCK).verify(first.name, shares_of(golden))


async def test_a_file_without_a_record_is_listed_as_not_verified(
    golden: Golden, place: DirectoryPlace
) -> None:
    record = await take(golden, place)
    (place.directory / f"{record.name}.json").unlink()
    listed = await Catalog(place, CLOCK).backups()
    assert [(item.name, item.verified) for item in listed] == [(record.name, False)]
    assert (await Catalog(place, CLOCK).verify(record.name, shares_of(golden))).verified


async def test_restoring_refuses_every_place_that_is_not_empty(
    tmp_path: Path, golden: Golden, place: DirectoryPlace
) -> None:
    record = await take(golden, place)
    filled, file, link = tmp_path / "filled", tmp_path / "file", tmp_path / "link"
    filled.mkdir()
    (filled / "something").write_text("x")
    file.write_text("x")
    (tmp_path / "empty").mkdir()
    link.symlink_to(tmp_path / "empty")
    for target in (filled, file, link, golden.data):
        async with open_backup(place, record.name) as backup:
            with pytest.raises(DestinationFilledError):
                await restore_to_directory(backup, target, FileStorage.open, None)
    assert [path.name for path in filled.iterdir()] == ["something"]
    assert not list(tmp_path.glob(".*restoring*"))


async def test_an_empty_directory_is_a_place_to_restore_into(
    tmp_path: Path, golden: Golden, place: DirectoryPlace
) -> None:
    record = await take(golden, place)
    (tmp_path / "empty").mkdir()
    async with open_backup(place, record.name) as backup:
        await restore_to_directory(backup, tmp_path / "empty", FileStorage.open, None)
    assert (tmp_path / "empty" / "core" / "_keyring").exists()
    assert not (tmp_path / "empty" / ".zvault-tmp").exists()


async def test_a_store_that_does_not_open_is_not_restored_under_its_name(
    tmp_path: Path, golden: Golden, place: DirectoryPlace
) -> None:
    change_entry(golden, some_entry(golden))
    record = await take(golden, place)
    async with open_backup(place, record.name) as backup:
        with pytest.raises(BackupUnopenedError):
            await restore_to_directory(
                backup, tmp_path / "restored", FileStorage.open, shares_of(golden)
            )
    assert not (tmp_path / "restored").exists()
    assert not list(tmp_path.glob(".*restoring*"))


async def test_a_name_that_is_not_there_is_named(place: DirectoryPlace, golden: Golden) -> None:
    place.staging()
    with pytest.raises(BackupNotFoundError):
        await Catalog(place, CLOCK).verify("vault-backup-x.tar.zst", shares_of(golden))


async def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    golden: Golden, place: DirectoryPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zvault.ops.backup.take.write_archive", full)
    with pytest.raises(BackupPlaceError, match="No space left on device"):
        await take(golden, place)
    assert names(place) == []


@pytest.mark.parametrize("effect", ["store", "fetch", "rename", "write_small"])
async def test_killed_between_any_two_effects_nothing_is_called_verified_that_was_not(
    golden: Golden, place: DirectoryPlace, effect: str
) -> None:
    class Killed(BaseException):
        pass

    class Dying(DirectoryPlace):
        pass

    async def die(*_: object) -> None:
        raise Killed

    setattr(Dying, effect, die)
    with pytest.raises(Killed):
        await Taker(Dying(place.directory), CLOCK).take(file_store(golden), shares_of(golden))
    catalog = Catalog(place, CLOCK)
    assert await catalog.latest_verified() is None
    listed = [item.name for item in await catalog.backups()]
    assert len(listed) == (1 if effect == "write_small" else 0)
    record = await take(golden, place)
    found = await catalog.latest_verified()
    assert found is not None
    assert found.name == record.name


async def test_the_newest_verified_backup_of_a_store_is_found(
    golden: Golden, place: DirectoryPlace
) -> None:
    first = await take(golden, place)
    later = ManualClock(CLOCK.now_ns() + 3_600_000_000_000)
    second = await Taker(place, later).take(file_store(golden), shares_of(golden))
    catalog = Catalog(place, CLOCK)
    newest = await catalog.latest_verified(first.store)
    assert newest is not None
    assert newest.name == second.name
    assert await catalog.latest_verified("file:/another") is None
    record = replace(second, verified=False)
    from zvault.ops.backup.record import encode_record

    await place.write_small(f"{second.name}.json", encode_record(record))
    newest = await catalog.latest_verified()
    assert newest is not None
    assert newest.name == first.name


def test_shares_are_sequences_of_secrets(golden: Golden) -> None:
    shares: Sequence[Secret] = shares_of(golden)
    assert golden.expected["shares"][0] not in repr(shares)


@pytest.mark.parametrize("fault", ["drop", "alter", "truncate", "alter later", "drop later"])
async def test_a_place_that_loses_or_alters_what_it_was_given_never_ends_in_a_verified_backup(
    tmp_path: Path, golden: Golden, fault: str
) -> None:
    class Faulty(InMemStorage):
        async def apply(self, operations: Sequence[Operation]) -> None:
            await super().apply([self._spoil(operation) for operation in operations])

        def _spoil(self, operation: Operation) -> Operation:
            first = operation.key.endswith(".partial")
            if not isinstance(operation, Put) or first == fault.endswith("later"):
                return operation
            if operation.key.endswith(".json"):
                return operation
            value = operation.value
            match fault.split()[0]:
                case "drop":
                    return Delete(operation.key)
                case "alter":
                    value = value[:9000] + bytes([value[9000] ^ 1]) + value[9001:]
                case "truncate":
                    value = value[:-1]
            return Put(operation.key, value)

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    place = StoragePlace(Faulty(), scratch)
    with pytest.raises((BackupDamagedError, BackupTruncatedError, BackupNotFoundError)):
        await Taker(place, CLOCK).take(file_store(golden), shares_of(golden))
    assert await Catalog(place, CLOCK).latest_verified() is None
    assert list(scratch.iterdir()) == []
