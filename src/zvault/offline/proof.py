"""The proof that a key opens a store, without a server.

What lives here: opening ``core/hsm/barrier-unseal-keys`` and ``core/keyring``. What never does:
data entries (``verify.py``). An unsealed server says yes to any key, so this is asked of storage.
"""

from zvault.barrier.unseal import open_keyring, open_root_key
from zvault.offline.open import KeySource, unseal_key_of
from zvault.storage.api import Storage


async def prove_unseal_key(storage: Storage, key_source: KeySource) -> None:
    """Return only if ``key_source`` (the unseal key, or shares) opens the store's keyring.

    Raises WrongUnsealKeyError or ForeignShareError (the key is not this store's),
    UnreadableEntryError (an entry is damaged), MissingEntryError (keyring or stored key missing),
    NotInitializedError, SealConfigError, UnsupportedSealError, TooFewSharesError, ShareError,
    StorageError.
    """
    key = await unseal_key_of(storage, key_source)
    root_key = await open_root_key(storage, key)
    await open_keyring(storage, root_key, is_root_key_proven=root_key != key)
