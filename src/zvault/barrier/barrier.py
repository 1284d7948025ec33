"""The barrier: plaintext above, ciphertext below.

What lives here: the one object that holds data keys while a store is unsealed. What never does: a
path's meaning, a token, a request.
Invariant: what is written goes under the highest term with its own key as associated data; a new
term is used only after the keyring that holds it is durable.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from zvault.barrier.errors import UnreadableEntryError
from zvault.barrier.keyring import KEYRING_RECORD_TERM, Keyring, RotationConfig
from zvault.barrier.paths import (
    CANARY,
    KEYRING,
    MASTER,
    OPENBAO,
    RESERVED_KEYS,
    SEAL_CONFIG,
    SHAMIR_KEK,
    STORED_KEYS,
    root_key_path,
)
from zvault.barrier.record import open_record, seal_record
from zvault.barrier.rekey import SealReplacement, prepare_replacement
from zvault.barrier.seal import SealConfig, seal_stored_keys, unwrap_value
from zvault.base.clock import Clock
from zvault.base.secret import Secret
from zvault.crypto.aead import NONCE_BYTES, Aead, new_aead
from zvault.storage.api import Delete, Operation, Put, Storage

_DATA_KEY_BYTES = 32


class Barrier:
    """Encrypts on the way down, decrypts on the way up. Made by ``barrier/unseal.py``."""

    def __init__(
        self,
        storage: Storage,
        keyring: Keyring,
        family: str,
        *,
        clock: Clock,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.storage = storage
        self.family = family
        self._clock = clock
        self._random_bytes = random_bytes
        self._aeads: dict[int, Aead] = {}
        self._unpersisted_encryptions = 0
        self._keyring_lock = asyncio.Lock()
        self._unsettled: SealReplacement | None = None
        self._use(keyring)

    @property
    def keyring(self) -> Keyring:
        """The keyring as it is in storage, apart from uncounted encryptions."""
        return self._keyring

    @property
    def unpersisted_encryptions(self) -> int:
        """Encryptions under the active key since its count was last written."""
        return self._unpersisted_encryptions

    def _use(self, keyring: Keyring) -> None:
        for key in keyring.keys:
            if key.term not in self._aeads:
                self._aeads[key.term] = new_aead(key.value.reveal())
        self._keyring = keyring
        self._active_term = keyring.active.term
        self._active_aead = self._aeads[self._active_term]

    def encrypt(self, key: str, plaintext: bytes) -> bytes:
        """The record of ``plaintext`` at storage key ``key``."""
        return self._seal(key, plaintext, self._random_bytes(NONCE_BYTES))

    def _seal(self, key: str, plaintext: bytes, nonce: bytes) -> bytes:
        self._unpersisted_encryptions += 1
        return seal_record(self._active_aead, self._active_term, key, plaintext, nonce)

    def decrypt(self, key: str, record: bytes) -> bytes:
        """The plaintext. Raises UnreadableEntryError, UnsupportedSealError (Enterprise wrap)."""
        if record[:1] != b"\0":
            record = unwrap_value(key, record)
        return open_record(self._aeads, key, record)

    async def get(self, key: str) -> bytes | None:
        """The plaintext at ``key``, None when absent. Raises UnreadableEntryError, StorageError."""
        record = await self.storage.get(key)
        return None if record is None else self.decrypt(key, record)

    async def apply(self, operations: Sequence[Operation]) -> None:
        """Encrypt the puts and do all in order; durable on return. Raises StorageError."""
        nonces = self._random_bytes(NONCE_BYTES * len(operations))  # one call to the kernel
        await self.storage.apply(
            [
                self._sealed(operation, nonces[number * NONCE_BYTES : (number + 1) * NONCE_BYTES])
                for number, operation in enumerate(operations)
            ]
        )

    def _sealed(self, operation: Operation, nonce: bytes) -> Operation:
        key = operation.key
        if key in RESERVED_KEYS:
            raise UnreadableEntryError(
                key, "it lies outside the barrier and is never written through it"
            )
        if isinstance(operation, Delete):
            return operation
        return Put(key, self._seal(key, operation.value, nonce))

    async def list(self, prefix: str) -> list[str]:
        """Immediate children of ``prefix``; names are not encrypted. Raises StorageError."""
        return await self.storage.list(prefix)

    async def rotate(self) -> int:
        """Add a data key and make it the active one; returns its term. Raises StorageError."""
        async with self._keyring_lock:
            await self._settle()
            value = Secret(self._random_bytes(_DATA_KEY_BYTES))
            keyring = self._keyring.rotated(value, self._clock.now_ns())
            await self._persist(keyring)
            self._unpersisted_encryptions = 0
            term = keyring.active.term
        await self.apply([Put(CANARY, f"new-rotation-term-{term}".encode())])
        return term

    async def persist_encryption_count(self) -> None:
        """Add what was encrypted since the last time to the stored count; no write when nothing."""
        async with self._keyring_lock:
            await self._settle()
            count = self._unpersisted_encryptions
            if not count:
                return
            keyring = self._keyring.counted(count)
            await self._persist(keyring)
            self._unpersisted_encryptions -= count

    async def rekey(self, root_key: Secret, seal: SealConfig, unseal_key: Secret) -> None:
        """Put the keyring under ``root_key``, which from now on ``unseal_key`` opens.

        Killed or failed at any point, the old key or the new one opens the store, never none.
        Raises StorageError: then the old one does.
        """
        async with self._keyring_lock:
            await self._settle()
            keyring = replace(self._keyring, root_key=root_key)
            stored = seal_stored_keys(unseal_key, root_key, self._random_bytes(NONCE_BYTES))
            operations: list[Operation] = [
                Put(STORED_KEYS, stored),
                *keyring_operations(keyring, self.family, random_bytes=self._random_bytes),
                Put(SHAMIR_KEK, self.encrypt(SHAMIR_KEK, unseal_key.reveal())),
                Put(SEAL_CONFIG, seal.encode()),
                Put(CANARY, self.encrypt(CANARY, seal.nonce.encode())),
            ]
            self._unsettled = await prepare_replacement(self.storage, operations)
            try:
                await self._unsettled.commit()
            except Exception:
                await self._settle()
                raise
            self._unsettled = None
            self._use(keyring)

    async def configure_rotation(self, rotation: RotationConfig) -> None:
        """Store when the data key is rotated without being asked. Raises StorageError."""
        async with self._keyring_lock:
            await self._settle()
            await self._persist(replace(self._keyring, rotation=rotation))

    async def _settle(self) -> None:
        """Put back a rekey that failed, before the next keyring is written. Raises StorageError."""
        if self._unsettled is not None:
            await self._unsettled.put_back()
            self._unsettled = None

    async def _persist(self, keyring: Keyring) -> None:
        """Two writes: what is under the newest key must not outlive a keyring that lacks it."""
        keyring_put, *root_key_writes = keyring_operations(
            keyring, self.family, random_bytes=self._random_bytes
        )
        await self.storage.apply([keyring_put])
        self._use(keyring)
        await self.storage.apply(root_key_writes)


def keyring_operations(
    keyring: Keyring, family: str, *, random_bytes: Callable[[int], bytes]
) -> list[Operation]:
    """The writes that make ``keyring`` durable, in Vault's order: keyring, then the root key."""
    root_aead = new_aead(keyring.root_key.reveal())
    active_aead = new_aead(keyring.active.value.reveal())
    root_path = root_key_path(family)
    operations: list[Operation] = [
        Put(
            KEYRING,
            seal_record(
                root_aead,
                KEYRING_RECORD_TERM,
                KEYRING,
                keyring.encode(),
                random_bytes(NONCE_BYTES),
            ),
        ),
        Put(
            root_path,
            seal_record(
                active_aead,
                keyring.active.term,
                root_path,
                keyring.encode_root_key(),
                random_bytes(NONCE_BYTES),
            ),
        ),
    ]
    if family == OPENBAO:
        operations.append(Delete(MASTER))
    return operations
