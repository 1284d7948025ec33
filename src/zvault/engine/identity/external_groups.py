"""External groups: whose members are those that the issuer of a login says are in them.

What lives here: membership following a login. What never does: paths, buckets.
Invariant: a login makes its entity a member of exactly those external groups that have an alias on
the login's mount with a name the issuer gave; groups with aliases on other mounts are left alone.
"""

from collections.abc import Sequence

from zvault.engine.identity.store import IdentityStore
from zvault.records.identity import Group


def has_alias(group: Group, accessor: str) -> bool:
    """An external group that follows logins at the mount ``accessor``."""
    return (
        group.type == "external"
        and group.HasField("alias")
        and group.alias.mount_accessor == accessor
    )


async def follow_groups(
    store: IdentityStore, entity_id: str, accessor: str, names: Sequence[str]
) -> None:
    """Make the entity a member of what it is in, and of nothing else. Raises StorageError."""
    if not _differing(store, entity_id, accessor, names):
        return
    async with store.changing:
        for group in _differing(store, entity_id, accessor, names):
            changed = Group.FromString(group.SerializeToString())
            if entity_id in changed.member_entity_ids:
                changed.member_entity_ids.remove(entity_id)
            else:
                changed.member_entity_ids.append(entity_id)
            await store.save_group(changed)


def _differing(
    store: IdentityStore, entity_id: str, accessor: str, names: Sequence[str]
) -> list[Group]:
    return [
        group
        for group in store.groups.values()
        if has_alias(group, accessor)
        and (group.alias.name in names) is not (entity_id in group.member_entity_ids)
    ]
