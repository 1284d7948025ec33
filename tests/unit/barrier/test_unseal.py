"""From shares to a barrier: the way in, and each way it can fail."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from zvault.barrier.errors import (
    AlreadyInitializedError,
    MissingEntryError,
    NotInitializedError,
    SealConfigError,
    TooFewSharesError,
    UnreadableEntryError,
    UnsupportedSealError,
    WrongUnsealKeyError,
)
from zvault.barrier.family import detect_family
from zvault.barrier.paths import (
    KEYRING,
    MASTER,
    OLD_BARRIER_INIT,
    ROOT_KEY,
    SEAL_CONFIG,
    SHAMIR_KEK,
    STORED_KEYS,
)
from zvault.barrier.record import seal_record
from zvault.barrier.seal import SealConfig, seal_stored_keys
from zvault.barrier.unseal import (
    InitResult,
    combine_shares,
    initialize_store,
    is_initialized,
    read_seal_config,
    unseal_with_key,
)
from zvault.base.clock import ManualClock
from zvault.base.errors import ZvaultError
from zvault.base.secret import Secret
from zvault.crypto.aead import new_aead
from zvault.crypto.errors import KeyLengthError, ShareError
from zvault.storage.api import Delete, Operation, Put
from zvault.storage.inmem import InMemStorage

CLOCK = ManualClock()


async def init(
    storage: InMemStorage, shares: int = 5, threshold: int = 3, family: str = "vault"
) -> InitResult:
    return await initialize_store(
        storage, shares, threshold, family=family, random_bytes=os.urandom, clock=CLOCK
    )


async def key_of(result: InitResult) -> Secret:
    return combine_shares(result.shares, await read_seal_config(result.barrier.storage))


@pytest.mark.parametrize("family", ["vault", "openbao"])
@pytest.mark.parametrize(("shares", "threshold"), [(1, 1), (2, 2), (5, 3)])
async def test_a_fresh_store_opens_with_its_shares(
    family: str, shares: int, threshold: int
) -> None:
    storage = InMemStorage()
    result = await init(storage, shares, threshold, family)
    assert await is_initialized(storage)
    assert [len(share) for share in result.shares] == [32 if shares == 1 else 33] * shares
    config = await read_seal_config(storage)
    key = combine_shares(result.shares[:threshold], config)
    barrier = await unseal_with_key(storage, key)
    assert barrier.family == family == await detect_family(storage)
    assert await barrier.get(SHAMIR_KEK) == key.reveal()
    assert await barrier.get(ROOT_KEY if family == "openbao" else MASTER) is not None


async def test_a_vault_store_says_one_stored_share_and_an_openbao_store_says_nothing() -> None:
    vault, openbao = InMemStorage(), InMemStorage()
    await init(vault, family="vault")
    await init(openbao, family="openbao")
    assert (await read_seal_config(vault)).stored_shares == 1
    assert (await read_seal_config(openbao)).stored_shares is None


class _Recording(InMemStorage):
    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []
        self.last_batch: list[str] = []

    async def apply(self, operations: list[Operation]) -> None:  # type: ignore[override]
        self.last_batch = [operation.key for operation in operations]
        self.keys += self.last_batch
        await super().apply(operations)


async def test_the_keyring_is_written_last_and_on_its_own() -> None:
    """Of one batch any part may survive a power cut."""
    storage = _Recording()
    result = await initialize_store(
        storage,
        5,
        3,
        family="vault",
        random_bytes=os.urandom,
        clock=CLOCK,
        entries=[Put("sys/token/salt", b"salt")],
    )
    assert storage.last_batch == [KEYRING]
    assert set(storage.keys[:-1]) == {
        MASTER,
        SHAMIR_KEK,
        SEAL_CONFIG,
        STORED_KEYS,
        "sys/token/salt",
    }
    assert await result.barrier.get("sys/token/salt") == b"salt"


async def test_a_store_is_initialised_once() -> None:
    storage = InMemStorage()
    first = await init(storage)
    with pytest.raises(AlreadyInitializedError):
        await init(storage)
    await unseal_with_key(storage, await key_of(first))


@pytest.mark.parametrize(("shares", "threshold"), [(5, 1), (3, 4), (0, 0), (300, 3)])
async def test_impossible_numbers_leave_nothing_behind(shares: int, threshold: int) -> None:
    storage = InMemStorage()
    with pytest.raises((SealConfigError, ShareError)):
        await init(storage, shares, threshold)
    assert await storage.list("") == []


async def test_an_empty_store_is_not_initialised() -> None:
    with pytest.raises(NotInitializedError):
        await read_seal_config(InMemStorage())
    with pytest.raises(NotInitializedError):
        await unseal_with_key(InMemStorage(), Secret(b"k" * 32))


async def test_shares_given_twice_count_once() -> None:
    storage = InMemStorage()
    result = await init(storage)
    config = await read_seal_config(storage)
    one, two = result.shares[:2]
    with pytest.raises(TooFewSharesError, match="2 distinct shares given, 3 are needed"):
        combine_shares([one, two, one, two], config)


async def test_another_vaults_key_is_a_wrong_key() -> None:
    storage, other = InMemStorage(), InMemStorage()
    await init(storage)
    key = await key_of(await init(other))
    with pytest.raises(WrongUnsealKeyError):
        await unseal_with_key(storage, key)


async def test_a_key_of_an_impossible_length_is_named() -> None:
    storage = InMemStorage()
    await init(storage)
    with pytest.raises(KeyLengthError):
        await unseal_with_key(storage, Secret(b"short"))


def cut(value: bytes) -> bytes:
    return value[:-3]


def flipped(value: bytes) -> bytes:
    return value[:-1] + bytes([value[-1] ^ 1])


def other_term(value: bytes) -> bytes:
    return b"\0\0\0\x02" + value[4:]


@pytest.mark.parametrize(
    ("key", "damage", "expected"),
    [
        (KEYRING, None, MissingEntryError),
        (KEYRING, cut, UnreadableEntryError),
        (KEYRING, flipped, UnreadableEntryError),
        (KEYRING, other_term, UnreadableEntryError),
        (KEYRING, lambda _: b"", UnreadableEntryError),
        (STORED_KEYS, None, MissingEntryError),
        (STORED_KEYS, lambda _: b"\xff\xff", UnreadableEntryError),
        (STORED_KEYS, lambda value: value[:20], UnreadableEntryError),
        (SEAL_CONFIG, None, SealConfigError),
        (SEAL_CONFIG, lambda _: b"{", SealConfigError),
    ],
)
async def test_each_damage_has_its_own_error(
    key: str, damage: Callable[[bytes], bytes] | None, expected: type[ZvaultError]
) -> None:
    storage = InMemStorage()
    result = await init(storage)
    unseal_key = await key_of(result)
    value = await storage.get(key)
    assert value is not None
    await storage.apply([Delete(key) if damage is None else Put(key, damage(value))])
    with pytest.raises(expected) as caught:
        await unseal_with_key(storage, unseal_key)
    assert type(caught.value) is expected
    assert key in caught.value.message


async def test_a_keyring_of_another_store_is_damage_and_no_wrong_key() -> None:
    storage, other = InMemStorage(), InMemStorage()
    result = await init(storage)
    key = await key_of(result)
    await init(other)
    foreign = await other.get(KEYRING)
    assert foreign is not None
    await storage.apply([Put(KEYRING, foreign)])
    with pytest.raises(UnreadableEntryError, match="core/keyring"):
        await unseal_with_key(storage, key)


async def test_a_keyring_that_names_another_root_key_is_refused() -> None:
    storage = InMemStorage()
    result = await init(storage)
    key, barrier = await key_of(result), result.barrier
    liar = replace(barrier.keyring, root_key=Secret(b"another".ljust(32))).encode()
    root = new_aead(barrier.keyring.root_key.reveal())
    await storage.apply([Put(KEYRING, seal_record(root, 1, KEYRING, liar, b"n" * 12))])
    with pytest.raises(UnreadableEntryError, match="names another root key"):
        await unseal_with_key(storage, key)


async def _legacy(storage: InMemStorage) -> Secret:
    """A store from before Vault 1.3: the combined shares are the root key."""
    result = await init(storage, 1, 1)
    config = SealConfig(1, 1, stored_shares=0)
    await storage.apply([Delete(STORED_KEYS), Put(SEAL_CONFIG, config.encode())])
    return result.barrier.keyring.root_key


async def test_a_store_from_before_stored_keys_opens_with_its_root_key() -> None:
    storage = InMemStorage()
    root_key = await _legacy(storage)
    barrier = await unseal_with_key(storage, root_key)
    assert barrier.keyring.root_key == root_key
    with pytest.raises(WrongUnsealKeyError, match="core/keyring"):
        await unseal_with_key(storage, Secret(b"w" * 32))


async def test_a_store_from_before_keyrings_is_refused_with_the_way_out() -> None:
    storage = InMemStorage()
    root_key = await _legacy(storage)
    await storage.apply([Delete(KEYRING), Put(OLD_BARRIER_INIT, b"x")])
    assert await is_initialized(storage)
    with pytest.raises(UnsupportedSealError, match="before keyrings"):
        await unseal_with_key(storage, root_key)


async def test_a_rekey_that_died_half_way_is_damage_and_no_wrong_key() -> None:
    storage = InMemStorage()
    result = await init(storage, 1, 1)
    new_key, new_root = Secret(b"n" * 32), Secret(b"m" * 32)
    await storage.apply([Put(STORED_KEYS, seal_stored_keys(new_key, new_root, b"x" * 12))])
    with pytest.raises(UnreadableEntryError, match="core/keyring"):
        await unseal_with_key(storage, new_key)
    with pytest.raises(WrongUnsealKeyError):
        await unseal_with_key(storage, result.shares[0])


@pytest.mark.parametrize(
    ("entries", "family"),
    [
        ({}, "vault"),
        ({SEAL_CONFIG: SealConfig(5, 3).encode()}, "vault"),
        ({SEAL_CONFIG: SealConfig(5, 3, stored_shares=None).encode()}, "openbao"),
        ({SEAL_CONFIG: b"rubbish"}, "vault"),
        ({SEAL_CONFIG: SealConfig(5, 3).encode(), "core/mounts/a": b""}, "openbao"),
        ({SEAL_CONFIG: SealConfig(5, 3).encode(), ROOT_KEY: b""}, "openbao"),
        ({SEAL_CONFIG: SealConfig(5, 3).encode(), "core/mounts": b"", MASTER: b""}, "vault"),
    ],
)
async def test_the_family_is_told_by_what_only_openbao_writes(
    entries: dict[str, bytes], family: str
) -> None:
    assert await detect_family(InMemStorage(entries)) == family
