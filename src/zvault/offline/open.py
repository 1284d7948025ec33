"""Open a store with shares or with the unseal key, for reading.

What lives here: from what the operator has to an open barrier and the mount tables. What never
does: a write, a server, where shares come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from zvault.barrier.barrier import Barrier
from zvault.barrier.errors import WrongUnsealKeyError
from zvault.barrier.seal import SealConfig
from zvault.barrier.unseal import (
    combine_shares,
    open_root_key,
    read_seal_config,
    unseal_with_key,
)
from zvault.base.clock import Clock
from zvault.base.secret import Secret
from zvault.crypto.errors import KeyLengthError, ShareError
from zvault.offline.errors import ForeignShareError
from zvault.offline.tables import Mounts, load_mounts
from zvault.storage.api import Storage

KeySource = Secret | Sequence[Secret]
"""The unseal key itself, or shares (at least threshold many; more are checked, not ignored)."""


@dataclass(frozen=True, slots=True)
class OfflineStore:
    """An open store: reading only."""

    storage: Storage
    barrier: Barrier
    seal_config: SealConfig
    mounts: Mounts

    @property
    def family(self) -> str:
        """``vault`` or ``openbao``."""
        return self.barrier.family


async def open_offline(
    storage: Storage, key_source: KeySource, *, clock: Clock | None = None
) -> OfflineStore:
    """Open with shares or with the unseal key.

    Raises TooFewSharesError, ShareError, ForeignShareError, WrongUnsealKeyError,
    UnreadableEntryError, MissingEntryError, NotInitializedError, SealConfigError,
    UnsupportedSealError, MountTableError, StorageError.
    """
    config = await read_seal_config(storage)
    key = await unseal_key_of(storage, key_source, config)
    barrier = await unseal_with_key(storage, key, clock=clock)
    return OfflineStore(storage, barrier, config, await load_mounts(barrier))


async def unseal_key_of(
    storage: Storage, key_source: KeySource, config: SealConfig | None = None
) -> Secret:
    """The unseal key behind ``key_source``, shown to open the stored root key.

    With more shares than needed, one that does not belong is named by its number among those
    given. Raises as ``open_offline``.
    """
    if isinstance(key_source, Secret):
        await open_root_key(storage, key_source)
        return key_source
    config = config or await read_seal_config(storage)
    try:
        return await _opening_key(storage, key_source, config)
    except (WrongUnsealKeyError, ShareError):
        await _name_foreign_share(storage, key_source, config)
        raise


async def _opening_key(storage: Storage, shares: Sequence[Secret], config: SealConfig) -> Secret:
    key = combine_shares(shares, config)
    await open_root_key(storage, key)
    return key


async def _name_foreign_share(
    storage: Storage, shares: Sequence[Secret], config: SealConfig
) -> None:
    distinct = list(dict.fromkeys(shares))
    if len(distinct) <= config.secret_threshold or config.stored_shares == 0:
        return
    for share in distinct:
        others = [other for other in distinct if other != share]
        try:
            await _opening_key(storage, others, config)
        except (WrongUnsealKeyError, ShareError, KeyLengthError):
            continue
        number = list(shares).index(share) + 1
        raise ForeignShareError(
            f"share {number} of the {len(shares)} given is not of this store; the others open it",
            hint="leave that share out",
        )
