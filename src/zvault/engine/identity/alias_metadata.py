"""What an issuer says of somebody, kept with the alias: it is true as of the last login.

What lives here: the metadata of an alias following a login. What never does: paths, buckets.
Invariant: after a login its alias has the metadata of that login and no older one, because the
paths of templated policies are made of it.
"""

from collections.abc import Iterable, Mapping

from zvault.engine.identity.store import IdentityStore
from zvault.records.identity import Alias, Entity


async def follow_metadata(
    store: IdentityStore, entity_id: str, accessor: str, name: str, metadata: Mapping[str, str]
) -> None:
    """Give the alias (mount accessor, name) this metadata. Raises StorageError."""
    if not _stale(store, entity_id, accessor, name, metadata):
        return
    async with store.changing:
        # Looked for again: somebody else may have moved or changed it meanwhile.
        owner = store.entity_of_alias(accessor, name)
        if owner is None or not _stale(store, owner.id, accessor, name, metadata):
            return
        changed = Entity.FromString(owner.SerializeToString())
        own = _named(changed.aliases, accessor, name)
        if own:
            _set(store, own, metadata)
            await store.save_entity(changed)
            return
        local = [Alias.FromString(a.SerializeToString()) for a in store.local_aliases_of(owner.id)]
        _set(store, _named(local, accessor, name), metadata)
        await store.save_local_aliases(owner.id, local)


def _stale(
    store: IdentityStore, entity_id: str, accessor: str, name: str, metadata: Mapping[str, str]
) -> bool:
    entity = store.entities.get(entity_id)
    known = () if entity is None else store.aliases_of(entity)
    return any(dict(alias.metadata) != metadata for alias in _named(known, accessor, name))


def _named(aliases: Iterable[Alias], accessor: str, name: str) -> list[Alias]:
    return [a for a in aliases if (a.mount_accessor, a.name) == (accessor, name)]


def _set(store: IdentityStore, aliases: list[Alias], metadata: Mapping[str, str]) -> None:
    for alias in aliases:
        alias.metadata.clear()
        alias.metadata.update(metadata)
        alias.last_update_time.CopyFrom(store.now())
