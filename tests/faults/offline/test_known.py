"""What was opened before is not opened again, and the verdict is the same as if it had been."""

import contextlib
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.golden import Golden
from tests.support.golden_storage import DAY_NS, in_memory, shares_of
from zvault.barrier.barrier import Barrier
from zvault.barrier.paths import KEYRING, PLAINTEXT_KEYS
from zvault.base.clock import ManualClock
from zvault.base.errors import ZvaultError
from zvault.offline.examine import DECODED
from zvault.offline.known import Known
from zvault.offline.open import open_offline
from zvault.offline.report import VerifyReport
from zvault.offline.verify import verify_store
from zvault.records.compress import expand
from zvault.records.mounts import MOUNTS, TABLE_KEYS
from zvault.storage.api import Delete, Put, Storage
from zvault.storage.inmem import InMemStorage
from zvault.storage.listing import ObjectInfo
from zvault.storage.walk import walk

CLOCK = ManualClock(DAY_NS)


class Reading(InMemStorage):
    """A store that notes which values were asked for."""

    def __init__(self, values: dict[str, bytes]) -> None:
        super().__init__(values, url="inmem:golden")
        self.read: list[str] = []

    async def get(self, key: str) -> bytes | None:
        self.read.append(key)
        return await super().get(key)


async def opened(name: str, place: Path) -> tuple[Golden, Reading, Known]:
    """A golden store, all of which is known."""
    golden, storage = await in_memory(name, place)
    reading = Reading(dict(storage._values))
    known = Known(CLOCK)
    report = await verified(reading, golden, known)
    assert report.ok
    assert report.known == 0
    reading.read.clear()
    return golden, reading, known


async def verified(storage: Storage, golden: Golden, known: Known | None = None) -> VerifyReport:
    return await verify_store(storage, shares_of(golden), known=known, clock=CLOCK)


async def require_same_verdict(storage: Storage, golden: Golden, known: Known) -> VerifyReport:
    """With what is known, and without: the same report, or the same error."""
    try:
        forgetful = await verified(storage, golden)
    except ZvaultError as error:
        with pytest.raises(type(error), match=re.escape(error.message)):
            await verified(storage, golden, known)
        raise
    found = await verified(storage, golden, known)
    assert replace(found, known=0, seconds=0, unopened=()) == replace(
        forgetful, seconds=0, unopened=()
    )
    assert set(found.unopened) == set(forgetful.unopened)
    return found


@pytest.mark.parametrize("name", ["vault-file", "openbao-file"])
async def test_a_second_look_reads_only_what_opens_the_store(name: str, tmp_path: Path) -> None:
    golden, storage, known = await opened(name, tmp_path)
    report = await verified(storage, golden, known)
    reads, outside = set(storage.read), [key for key in storage._values if key in PLAINTEXT_KEYS]
    assert report.known > 100
    assert report.entries - report.known <= len(outside) + 1  # and the keyring
    await open_offline(reading := Reading(dict(storage._values)), shares_of(golden))
    extra = reads - set(reading.read) - set(outside)
    assert all("salt" in key or "policy" in key for key in extra)
    await require_same_verdict(storage, golden, known)


async def test_damage_to_any_entry_is_judged_as_without_memory(tmp_path: Path) -> None:
    golden, storage, known = await opened("vault-file", tmp_path)
    keys = [key async for key in walk(storage)]
    for number, key in list(enumerate(keys))[::7]:
        value = await storage.get(key)
        assert value is not None
        other = await storage.get(keys[number - 1])
        assert other is not None
        flipped = value[:-1] + bytes([value[-1] ^ 1])
        damage = (Delete(key), Put(key, flipped), Put(key, other), Put(key, b""))[number % 4]
        await storage.apply([damage])
        with contextlib.suppress(ZvaultError):  # not even opening is the same verdict too
            await require_same_verdict(storage, golden, known)
        await storage.apply([Put(key, value)])
    assert (await require_same_verdict(storage, golden, known)).ok


async def test_many_entries_damaged_and_mended_are_judged_as_without_memory(
    tmp_path: Path,
) -> None:
    golden, storage, known = await opened("openbao-file", tmp_path)
    whole = dict(storage._values)
    behind = [key for key in whole if key.startswith(("logical/", "sys/", "auth/"))]
    chance = random.Random(7)
    for _ in range(8):
        for key in chance.sample(behind, chance.randrange(4, 16)):
            mend = Put(key, whole[key])
            damage = Put(key, whole[key][:-2] + b"xx")
            await storage.apply([chance.choice([mend, damage, Delete(key)])])
        await require_same_verdict(storage, golden, known)
        await storage.apply([Put(key, value) for key, value in whole.items()])


async def test_a_rotated_keyring_keeps_what_is_known_and_another_one_does_not(
    tmp_path: Path,
) -> None:
    golden, storage, known = await opened("vault-file", tmp_path)
    before = await storage.get(KEYRING)
    assert before is not None
    store = await open_offline(storage, shares_of(golden), clock=CLOCK)
    barrier: Barrier = store.barrier
    await barrier.rotate()
    assert (await require_same_verdict(storage, golden, known)).known > 100
    await storage.apply([Put(KEYRING, before)])  # the newest key is gone again
    report = await verified(storage, golden, known)
    assert report.known == 0
    assert not report.ok  # what was written under it does not open


async def test_another_mount_table_makes_every_entry_new(tmp_path: Path) -> None:
    golden, storage, known = await opened("vault-file", tmp_path)
    store = await open_offline(storage, shares_of(golden), clock=CLOCK)
    table = TABLE_KEYS[MOUNTS][0]
    data = await store.barrier.get(table)
    assert data is not None
    uuid = next(one.uuid for one in store.mounts.engines if one.kv_version == 2).encode()
    await store.barrier.apply([Put(table, expand(data).replace(uuid, uuid[::-1]))])
    report = await require_same_verdict(storage, golden, known)
    assert report.known == 0


async def test_no_plaintext_and_no_token_is_kept(tmp_path: Path) -> None:
    golden, _, known = await opened("vault-file", tmp_path)
    told = repr(known._facts)
    ids = [ids["secret_id"] for ids in golden.expected["approle"].values()]
    for secret in [golden.expected["root_token"], *ids]:
        assert secret not in told


def test_what_was_read_of_another_moment_than_the_listing_is_not_known() -> None:
    known, info = Known(CLOCK), ObjectInfo("k", 1, "listed")
    known.note(info, "listed", DECODED)
    assert known.fact(info) is DECODED
    known.note(info, "read", DECODED)
    assert known.fact(info) is None
