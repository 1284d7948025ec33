"""Removing secret ids that no login can use any more, and accessors of none.

What lives here: one pass over a mount. Invariant: a secret id is removed under its lock, after
looking at it again; an accessor is removed only if its secret id was not there after the accessor
was seen and its registration is not under way.
"""

from zvault.base.clock import Clock
from zvault.engine.backends.approle_login import is_expired
from zvault.engine.backends.approle_store import AppRoleStore


async def sweep(store: AppRoleStore, clock: Clock) -> int:
    """Remove expired and dangling entries; how many. Raises RecordError, StorageError."""
    accessors = await store.accessor_keys()
    removed = 0
    alive: set[str] = set()
    async for prefix, key in store.all_secret_ids():
        if await _remove_if_dead(store, clock, prefix, key):
            removed += 1
        else:
            alive.add(key.rpartition("/")[2])
    dangling = [key for key, secret_id in accessors.items() if secret_id not in alive]
    await store.drop_accessors(dangling)
    return removed


async def _remove_if_dead(store: AppRoleStore, clock: Clock, prefix: str, key: str) -> bool:
    async with store.hold(key):
        entry = await store.secret_id(key)
        if entry is None:
            return True
        if not await store.has_accessor(prefix, entry.secret_id_accessor):
            await store.drop(key)
            return True
        if is_expired(entry, clock.now_ns()):
            await store.delete_secret_id(prefix, key, entry)
            return True
    return False
