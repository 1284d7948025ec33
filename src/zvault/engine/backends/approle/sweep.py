"""Removing secret ids that no login can use any more, and accessors of none.

What lives here: one pass over a mount. Invariant: a secret id is removed under its lock, after
looking at it again; an accessor is removed only if its secret id was not there after the accessor
was seen and its registration is not under way.
"""

from zvault.base.clock import Clock
from zvault.engine.backends.approle.login import is_expired
from zvault.engine.backends.approle.store import AppRoleStore


async def sweep(store: AppRoleStore, clock: Clock) -> int:
    """Remove expired and dangling entries; how many. Raises RecordError, StorageError."""
    accessors = await store.accessor_keys()
    removed = 0
    alive: set[str] = set()
    async for prefix, key in store.all_secret_ids():
        accessor = await _accessor_if_alive(store, clock, prefix, key)
        if accessor is None:
            removed += 1
        else:
            alive.add(accessor)
    await store.drop_accessors(sorted(accessors - alive))
    return removed


async def _accessor_if_alive(
    store: AppRoleStore, clock: Clock, prefix: str, key: str
) -> str | None:
    """The key of the accessor of a secret id; None after removing a dead one."""
    async with store.hold(key):
        entry = await store.secret_id(key)
        if entry is None:
            return None
        if not await store.has_accessor(prefix, entry.secret_id_accessor):
            await store.drop(key)
            return None
        if is_expired(entry, clock.now_ns()):
            await store.delete_secret_id(prefix, key, entry)
            return None
    return await store.accessor_key(prefix, entry.secret_id_accessor)
