"""How many shares a store wants, for whoever has to ask for them."""

from zvault.barrier.unseal import read_seal_config
from zvault.storage.api import Storage


async def threshold_of(storage: Storage) -> int:
    """The threshold in ``core/seal-config``.

    Raises NotInitializedError, SealConfigError, UnsupportedSealError, StorageError.
    """
    return (await read_seal_config(storage)).secret_threshold
