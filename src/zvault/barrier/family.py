"""Which family a store is of: ``vault`` or ``openbao``.

What lives here: the guess, from entries that need no key. A wrong guess is harmless: each family
reads the other's way of keeping the root key.
"""

from typing import TYPE_CHECKING

import orjson

from zvault.barrier.paths import OPENBAO, ROOT_KEY, SEAL_CONFIG, VAULT
from zvault.storage.api import Storage

if TYPE_CHECKING:
    from zvault.barrier.barrier import Barrier

_PER_ENTRY_TABLES = ("core/mounts/", "core/auth/", "core/local-mounts/", "core/local-auth/")


async def detect_family(storage: Storage, barrier: "Barrier | None" = None) -> str:
    """``openbao`` when an entry only OpenBao writes is there, else ``vault``. Raises StorageError.

    With a barrier the answer is the one it was opened with.
    """
    if barrier is not None:
        return barrier.family
    if await storage.get(ROOT_KEY) is not None:
        return OPENBAO
    if _lacks_stored_shares(await storage.get(SEAL_CONFIG)):
        return OPENBAO
    for prefix in _PER_ENTRY_TABLES:
        if await storage.list(prefix):
            return OPENBAO
    return VAULT


def _lacks_stored_shares(seal_config: bytes | None) -> bool:
    """OpenBao 2.6 dropped the field; every Vault writes it."""
    if seal_config is None:
        return False
    try:
        return "stored_shares" not in dict(orjson.loads(seal_config))
    except (ValueError, TypeError):
        return False
