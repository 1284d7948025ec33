"""From shares to a barrier, and from nothing to an initialised store.

What lives here: the one way to open a store and the one way to make one. What never does: HTTP,
progress of a half-finished unseal (``engine``), where shares come from.
Invariant: on init ``core/keyring`` is written last, so a store that says it is initialised opens.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zvault.barrier.barrier import Barrier, keyring_operations
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
from zvault.barrier.keyring import KEYRING_RECORD_TERM, DataKey, Keyring, decode_keyring
from zvault.barrier.paths import (
    KEYRING,
    OLD_BARRIER_INIT,
    OPENBAO,
    SEAL_CONFIG,
    SHAMIR_KEK,
    STORED_KEYS,
)
from zvault.barrier.record import OVERHEAD, open_record, record_term
from zvault.barrier.rekey import entry_before_rekey
from zvault.barrier.seal import (
    SealConfig,
    decode_seal_config,
    open_stored_keys,
    seal_stored_keys,
    unwrap_value,
)
from zvault.base.clock import Clock, SystemClock
from zvault.base.secret import Secret
from zvault.crypto.aead import NONCE_BYTES, new_aead
from zvault.crypto.shamir import combine, split
from zvault.storage.api import Operation, Put, Storage

__all__ = [
    "InitResult",
    "combine_shares",
    "detect_family",
    "initialize_store",
    "is_initialized",
    "open_root_key",
    "read_seal_config",
    "require_initialized",
    "split_unseal_key",
    "unseal_with_key",
]

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class InitResult:
    """A fresh store: its shares, given out once, and its open barrier."""

    shares: list[Secret]
    barrier: Barrier


async def is_initialized(storage: Storage) -> bool:
    """There is a keyring (or its ancestor) in the store. Raises StorageError."""
    if await storage.get(KEYRING) is not None:
        return True
    return await storage.get(OLD_BARRIER_INIT) is not None


async def require_initialized(storage: Storage) -> None:
    """Raise NotInitializedError unless there is a Vault in the store."""
    if not await is_initialized(storage):
        raise NotInitializedError(
            f"no Vault was initialised in {storage.url}",
            hint="check the path or bucket, or initialise it",
        )


async def read_seal_config(storage: Storage) -> SealConfig:
    """The validated seal configuration.

    Raises NotInitializedError, SealConfigError, UnsupportedSealError, StorageError.
    """
    data = await entry_before_rekey(storage, SEAL_CONFIG)
    if data is not None:
        return decode_seal_config(unwrap_value(SEAL_CONFIG, data))
    await require_initialized(storage)
    raise SealConfigError(
        "there is a keyring but no core/seal-config", hint="restore it from a backup"
    )


def combine_shares(shares: Sequence[Secret], config: SealConfig) -> Secret:
    """The unseal key from all distinct shares given. Raises TooFewSharesError, ShareError."""
    distinct = list(dict.fromkeys(share.reveal() for share in shares))
    if len(distinct) < config.secret_threshold:
        raise TooFewSharesError(
            f"{len(distinct)} distinct shares given, {config.secret_threshold} are needed",
            hint="give more shares",
        )
    return Secret(distinct[0] if config.secret_threshold == 1 else combine(distinct))


async def open_root_key(storage: Storage, unseal_key: Secret) -> Secret:
    """The root key that ``unseal_key`` opens.

    In stores from before Vault 1.3 (no stored key) the combined shares are the root key itself.
    Raises WrongUnsealKeyError, UnreadableEntryError, MissingEntryError, UnsupportedSealError.
    """
    stored = await entry_before_rekey(storage, STORED_KEYS)
    if stored is not None:
        return open_stored_keys(unwrap_value(STORED_KEYS, stored), unseal_key)
    config = await read_seal_config(storage)
    if config.stored_shares == 0:
        return unseal_key
    raise MissingEntryError(
        f"{STORED_KEYS} is missing, so no key opens this store", hint="restore it from a backup"
    )


async def unseal_with_key(
    storage: Storage,
    unseal_key: Secret,
    *,
    clock: Clock | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> Barrier:
    """Open the store. Raises what ``open_root_key`` and ``open_keyring`` raise, StorageError."""
    await read_seal_config(storage)
    root_key = await open_root_key(storage, unseal_key)
    keyring = await open_keyring(storage, root_key, is_root_key_proven=root_key != unseal_key)
    return Barrier(
        storage,
        keyring,
        await detect_family(storage),
        clock=clock or SystemClock(),
        random_bytes=random_bytes,
    )


async def open_keyring(storage: Storage, root_key: Secret, *, is_root_key_proven: bool) -> Keyring:
    """The keyring under ``root_key``.

    ``is_root_key_proven``: the key came out of an authenticated entry, so a keyring that does not
    open is damaged; otherwise the key may just be wrong. Raises MissingEntryError,
    UnreadableEntryError, WrongUnsealKeyError, UnsupportedSealError.
    """
    record = await entry_before_rekey(storage, KEYRING)
    if record is None:
        if await storage.get(OLD_BARRIER_INIT) is not None:
            raise UnsupportedSealError(
                "this store is from before keyrings (barrier/init)",
                hint="start it once with a HashiCorp Vault 1.x, which upgrades it",
            )
        raise MissingEntryError(
            f"{KEYRING} is missing: without it nothing decrypts", hint="restore it from a backup"
        )
    record = unwrap_value(KEYRING, record)
    if len(record) >= OVERHEAD and record_term(record) != KEYRING_RECORD_TERM:
        raise UnreadableEntryError(KEYRING, f"term mis-match ({record_term(record)})")
    try:
        plaintext = open_record({KEYRING_RECORD_TERM: new_aead(root_key.reveal())}, KEYRING, record)
    except UnreadableEntryError as error:
        if is_root_key_proven or "authentication" not in error.reason:
            raise
        raise WrongUnsealKeyError(
            f"the key does not open {KEYRING}: message authentication failed",
            hint="the shares are of another Vault, or from before a rekey, or the entry is damaged",
        ) from None
    keyring = decode_keyring(plaintext)
    if keyring.root_key != root_key:
        raise UnreadableEntryError(KEYRING, "it names another root key than the one that opens it")
    return keyring


def split_unseal_key(
    unseal_key: Secret, config: SealConfig, random_bytes: Callable[[int], bytes]
) -> list[Secret]:
    """The shares; with one share there is nothing to split and it is the key itself."""
    shares, threshold = config.secret_shares, config.secret_threshold
    if shares == 1:
        return [unseal_key]
    return [Secret(part) for part in split(unseal_key.reveal(), shares, threshold, random_bytes)]


async def initialize_store(
    storage: Storage,
    shares: int,
    threshold: int,
    *,
    family: str,
    random_bytes: Callable[[int], bytes],
    clock: Clock,
    entries: Sequence[Put] = (),
) -> InitResult:
    """Make a store. ``entries``: plaintext to be written inside it before it counts as initialised.

    Raises AlreadyInitializedError, ShareError, SealConfigError, StorageError.
    """
    if await is_initialized(storage):
        raise AlreadyInitializedError(
            f"{storage.url} holds an initialised Vault", hint="choose an empty place"
        )
    config = SealConfig(shares, threshold, stored_shares=None if family == OPENBAO else 1)
    if family != OPENBAO:
        config.extra["name"] = ""
    config = decode_seal_config(config.encode())
    unseal_key = Secret(random_bytes(KEY_BYTES))
    parts = split_unseal_key(unseal_key, config, random_bytes)
    data_key = DataKey(1, Secret(random_bytes(KEY_BYTES)), clock.now_ns())
    keyring = Keyring(Secret(random_bytes(KEY_BYTES)), (data_key,))
    barrier = Barrier(storage, keyring, family, clock=clock, random_bytes=random_bytes)
    keyring_put, *root_key_writes = keyring_operations(keyring, family, random_bytes=random_bytes)
    inside = [Put(SHAMIR_KEK, unseal_key.reveal()), *entries]
    stored = seal_stored_keys(unseal_key, keyring.root_key, random_bytes(NONCE_BYTES))
    operations: list[Operation] = [
        *root_key_writes,
        *(Put(entry.key, barrier.encrypt(entry.key, entry.value)) for entry in inside),
        Put(SEAL_CONFIG, config.encode()),
        Put(STORED_KEYS, stored),
    ]
    await storage.apply(operations)
    # On its own: of one batch any part may survive a power cut, and a keyring makes a Vault.
    await storage.apply([keyring_put])
    return InitResult(parts, barrier)
