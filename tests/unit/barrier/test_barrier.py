"""The barrier over a storage: writing, rotating, counting, views."""

import asyncio
import os
from collections.abc import Sequence

import pytest

from zvault.barrier.barrier import Barrier
from zvault.barrier.errors import UnreadableEntryError, ViewPathError
from zvault.barrier.keyring import decode_keyring
from zvault.barrier.paths import CANARY, KEYRING, MASTER, RESERVED_KEYS, ROOT_KEY
from zvault.barrier.record import open_record, record_term
from zvault.barrier.unseal import InitResult, combine_shares, initialize_store, read_seal_config
from zvault.barrier.unseal import unseal_with_key as unseal
from zvault.barrier.view import View
from zvault.base.clock import ManualClock
from zvault.crypto.aead import new_aead
from zvault.storage.api import Delete, Operation, Put
from zvault.storage.errors import StorageError
from zvault.storage.inmem import InMemStorage


async def fresh(storage: InMemStorage | None = None, family: str = "vault") -> InitResult:
    return await initialize_store(
        storage or InMemStorage(), 5, 3, family=family, random_bytes=os.urandom, clock=ManualClock()
    )


async def reopened(result: InitResult) -> Barrier:
    storage = result.barrier.storage
    key = combine_shares(result.shares[1:4], await read_seal_config(storage))
    return await unseal(storage, key)


async def test_what_was_applied_is_there_and_encrypted() -> None:
    barrier = (await fresh()).barrier
    await barrier.apply(
        [Put("logical/u/a", b"one"), Put("logical/u/b", b""), Delete("logical/u/c")]
    )
    assert await barrier.get("logical/u/a") == b"one"
    assert await barrier.get("logical/u/b") == b""
    assert await barrier.get("logical/u/c") is None
    record = await barrier.storage.get("logical/u/a")
    assert record is not None
    assert b"one" not in record
    assert await barrier.list("logical/u/") == ["a", "b"]


async def test_the_same_plaintext_never_gives_the_same_record() -> None:
    barrier = (await fresh()).barrier
    assert len({barrier.encrypt("k", b"x") for _ in range(100)}) == 100


@pytest.mark.parametrize("key", sorted(RESERVED_KEYS))
async def test_entries_outside_the_barrier_are_never_written_through_it(key: str) -> None:
    result = await fresh()
    before = await result.barrier.storage.get(key)
    for operation in (Put(key, b"x"), Delete(key)):
        with pytest.raises(UnreadableEntryError):
            await result.barrier.apply([Put("logical/u/a", b"1"), operation])
    assert await result.barrier.storage.get(key) == before
    assert await result.barrier.get("logical/u/a") is None


@pytest.mark.parametrize(("family", "path"), [("vault", MASTER), ("openbao", ROOT_KEY)])
async def test_rotation_keeps_old_entries_and_writes_new_ones_under_the_new_term(
    family: str, path: str
) -> None:
    result = await fresh(family=family)
    barrier = result.barrier
    await barrier.apply([Put("logical/u/old", b"1")])
    assert await barrier.rotate() == 2
    await barrier.apply([Put("logical/u/new", b"2")])
    new, old = (
        await barrier.storage.get("logical/u/new"),
        await barrier.storage.get("logical/u/old"),
    )
    assert new is not None
    assert old is not None
    assert (record_term(old), record_term(new)) == (1, 2)
    again = await reopened(result)
    assert again.family == family
    assert [await again.get(f"logical/u/{name}") for name in ("old", "new")] == [b"1", b"2"]
    assert await again.get(CANARY) == b"new-rotation-term-2"
    assert b'"Term":1' in (await again.get(path) or b"")
    record = await barrier.storage.get(path)
    assert record is not None
    assert record_term(record) == 2


async def test_the_keyrings_own_record_stays_at_term_1() -> None:
    result = await fresh()
    await result.barrier.rotate()
    record = await result.barrier.storage.get(KEYRING)
    assert record is not None
    assert record_term(record) == 1


class _FailingStorage(InMemStorage):
    """Refuses the next write."""

    fails = False

    async def apply(self, operations: list[Operation]) -> None:  # type: ignore[override]
        if self.fails:
            raise StorageError("no", provider="inmem", store="x")
        await super().apply(operations)


async def test_a_rotation_that_cannot_be_stored_changes_nothing() -> None:
    storage = _FailingStorage()
    result = await fresh(storage)
    storage.fails = True
    with pytest.raises(StorageError):
        await result.barrier.rotate()
    storage.fails = False
    assert result.barrier.keyring.active.term == 1
    await result.barrier.apply([Put("logical/u/a", b"1")])
    assert await (await reopened(result)).get("logical/u/a") == b"1"


class _CutAfterTheKeyring(InMemStorage):
    """Refuses what comes after a write of the keyring; notes what shared a batch with it."""

    cuts = False
    beside: tuple[str, ...] = ()

    async def apply(self, operations: list[Operation]) -> None:  # type: ignore[override]
        keys = [operation.key for operation in operations]
        if self.cuts and KEYRING not in keys:
            raise StorageError("no", provider="inmem", store="x")
        if KEYRING in keys:
            self.beside = tuple(key for key in keys if key != KEYRING)
        await super().apply(operations)


async def test_nothing_under_a_new_term_is_written_before_its_keyring_is_durable() -> None:
    storage = _CutAfterTheKeyring()
    result = await fresh(storage)
    storage.cuts = True
    with pytest.raises(StorageError):
        await result.barrier.rotate()
    storage.cuts = False
    assert storage.beside == ()
    assert result.barrier.keyring.active.term == 2, "its keyring is durable, so it is in use"
    await result.barrier.apply([Put("logical/u/a", b"1")])
    again = await reopened(result)
    assert again.keyring.active.term == 2
    assert await again.get("logical/u/a") == b"1"
    assert await again.get(MASTER) is not None


async def test_encryptions_are_counted_and_the_count_is_stored() -> None:
    result = await fresh()
    barrier = result.barrier
    before = barrier.unpersisted_encryptions
    await barrier.apply([Put(f"logical/u/{n}", b"x") for n in range(10)])
    assert barrier.unpersisted_encryptions == before + 10
    await barrier.persist_encryption_count()
    assert barrier.unpersisted_encryptions == 0
    assert (await reopened(result)).keyring.active.encryptions == before + 10


async def test_what_is_encrypted_while_the_count_is_stored_is_counted_the_next_time() -> None:
    barrier = (await fresh()).barrier
    await barrier.apply([Put("logical/u/a", b"x")])
    storage = barrier.storage
    apply = storage.apply

    async def busy(operations: Sequence[Operation]) -> None:
        barrier.encrypt("logical/u/b", b"x")
        await apply(operations)

    storage.apply = busy  # type: ignore[method-assign]
    await barrier.persist_encryption_count()
    assert barrier.unpersisted_encryptions > 0


async def test_counting_nothing_writes_nothing() -> None:
    barrier = (await fresh()).barrier
    await barrier.persist_encryption_count()
    before = await barrier.storage.get(KEYRING)
    await barrier.persist_encryption_count()
    assert await barrier.storage.get(KEYRING) == before


async def test_rotating_and_counting_at_once_lose_no_key() -> None:
    result = await fresh()
    barrier = result.barrier
    work = [barrier.rotate() for _ in range(5)] + [
        barrier.apply([Put(f"logical/u/{n}", b"x")]) for n in range(20)
    ]
    await asyncio.gather(*work, *(barrier.persist_encryption_count() for _ in range(5)))
    again = await reopened(result)
    assert [key.term for key in again.keyring.keys] == [1, 2, 3, 4, 5, 6]
    assert [await again.get(f"logical/u/{n}") for n in range(20)] == [b"x"] * 20


async def test_openbaos_old_root_key_entry_goes_with_the_next_keyring_write() -> None:
    result = await fresh(family="openbao")
    storage = result.barrier.storage
    await storage.apply([Put(MASTER, b"old")])
    await result.barrier.rotate()
    assert await storage.get(MASTER) is None


async def test_a_keyring_in_storage_is_the_one_in_memory() -> None:
    result = await fresh()
    await result.barrier.rotate()
    record = await result.barrier.storage.get(KEYRING)
    assert record is not None
    root = {1: new_aead(result.barrier.keyring.root_key.reveal())}
    assert decode_keyring(open_record(root, KEYRING, record)) == result.barrier.keyring


async def test_a_view_glues_its_prefix_and_cannot_be_left() -> None:
    barrier = (await fresh()).barrier
    view = View(barrier, "logical/u/")
    await view.put("a/b", b"1")
    await view.apply([Put("a/c", b"2"), Delete("nothing")])
    assert await barrier.get("logical/u/a/b") == b"1"
    assert await view.get("a/b") == b"1"
    assert await view.list() == ["a/"]
    assert await view.list("a/") == ["b", "c"]
    below = view.sub("a/")
    assert below.prefix == "logical/u/a/"
    assert await below.get("c") == b"2"
    assert below.absolute(Put("x", b"3")) == Put("logical/u/a/x", b"3")
    await view.delete("a/b")
    assert await view.get("a/b") is None
    for attempt in (
        view.get("../x"),
        view.put("a/../x", b""),
        view.delete("a..b"),
        view.list("../"),
    ):
        with pytest.raises(ViewPathError):
            await attempt
    with pytest.raises(ViewPathError):
        view.sub("../")
