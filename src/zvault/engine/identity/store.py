"""Identity: who is behind a login, and which policies come with that.

What lives here: entities, their aliases and groups in memory, written through to the packed
buckets of the identity mount. What never does: HTTP paths (``backends/identity.py``), tokens.
Invariants: memory changes only after storage has; what a bucket holds that this version does not
know stays in it; one (mount accessor, name) belongs to one entity.
Source: ``docs/formats/records.md``.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from zvault.barrier.view import View
from zvault.base.clock import Clock
from zvault.base.ids import RandomBytes, new_uuid
from zvault.engine.policy.template import TemplateAlias, TemplateGroup, TemplateIdentity
from zvault.records.identity import (
    ENTITY_BUCKETS,
    GROUP_BUCKETS,
    LOCAL_ALIAS_BUCKETS,
    LOCAL_ALIASES_URL,
    Alias,
    Bucket,
    Entity,
    Group,
    LocalAliases,
    Timestamp,
    bucket_key,
    decode_bucket,
    encode_bucket,
    entities_of,
    groups_of,
    make_timestamp,
    put_entity,
    put_group,
    put_local_aliases,
    remove_item,
)
from zvault.records.mounts import MountEntry
from zvault.storage.api import Delete, Operation, Put


@dataclass(frozen=True, slots=True)
class IdentityView:
    """What a token gains from its entity."""

    policies: tuple[str, ...]
    disabled: bool
    template: TemplateIdentity


class IdentityStore:
    """All entities and groups of an unsealed store."""

    def __init__(
        self,
        view: View,
        *,
        clock: Clock,
        random_bytes: RandomBytes,
        on_change: Callable[[], None],
    ) -> None:
        self._view = view
        self._clock = clock
        self._random_bytes = random_bytes
        self._on_change = on_change
        self.changing = asyncio.Lock()
        """Held from looking at what is to be changed until the change is saved."""
        self._buckets: dict[str, Bucket] = {}
        self._views: dict[str, IdentityView] = {}
        self._local_aliases: dict[str, list[Alias]] = {}
        self._aliases: dict[tuple[str, str], str] = {}
        self._alias_ids: dict[str, str] = {}
        self._merged: dict[str, str] = {}
        """Entities that went into another one, which their tokens belong to now."""
        self.epoch = 0
        """Grows with every change; what was computed before is void."""
        self.entities: dict[str, Entity] = {}
        self.groups: dict[str, Group] = {}

    async def load(self) -> None:
        """Read every bucket. Raises RecordError, UnreadableEntryError, StorageError."""
        for prefix in (ENTITY_BUCKETS, GROUP_BUCKETS, LOCAL_ALIAS_BUCKETS):
            for name in await self._view.list(prefix):
                content = await self._view.get(prefix + name)
                if content is not None:
                    self._buckets[prefix + name] = decode_bucket(content)
        for key, bucket in self._buckets.items():
            if key.startswith(ENTITY_BUCKETS):
                self.entities.update({entity.id: entity for entity in entities_of(bucket)})
            elif key.startswith(GROUP_BUCKETS):
                self.groups.update({group.id: group for group in groups_of(bucket)})
            else:
                self._load_local_aliases(bucket)
        for merged in [m for e in self.entities.values() for m in e.merged_entity_ids]:
            # Still there when a merge was cut off before its last step.
            self.entities.pop(merged, None)
        for entity in self.entities.values():
            self._index(entity)

    def _load_local_aliases(self, bucket: Bucket) -> None:
        for item in bucket.items:
            if item.message.type_url == LOCAL_ALIASES_URL:
                aliases = list(LocalAliases.FromString(item.message.value).aliases)
                self._local_aliases[item.id] = aliases

    def aliases_of(self, entity: Entity) -> list[Alias]:
        """The entity's aliases, those of local mounts included."""
        return [*entity.aliases, *self._local_aliases.get(entity.id, [])]

    def local_aliases_of(self, entity_id: str) -> list[Alias]:
        """Those of local mounts that lie in buckets of their own."""
        return self._local_aliases.get(entity_id, [])

    def _index(self, entity: Entity) -> None:
        for alias in self.aliases_of(entity):
            self._aliases[(alias.mount_accessor, alias.name)] = entity.id
            self._alias_ids[alias.id] = entity.id
        self._merged.update(dict.fromkeys(entity.merged_entity_ids, entity.id))

    def _unindex(self, entity_id: str) -> None:
        """What the entity had; an alias that another one has by now stays that one's."""
        known = self.entities.get(entity_id)
        for alias in self.aliases_of(known) if known is not None else ():
            if self._alias_ids.get(alias.id) == entity_id:
                del self._alias_ids[alias.id]
            if self._aliases.get((alias.mount_accessor, alias.name)) == entity_id:
                del self._aliases[(alias.mount_accessor, alias.name)]
        for merged in known.merged_entity_ids if known is not None else ():
            if self._merged.get(merged) == entity_id:
                del self._merged[merged]

    def entity_named(self, name: str) -> Entity | None:
        """Names compare without case, as in Vault."""
        wanted = name.lower()
        return next((e for e in self.entities.values() if e.name.lower() == wanted), None)

    def entity_of_alias(self, accessor: str, name: str) -> Entity | None:
        """The entity that logs in under ``name`` at the mount ``accessor``."""
        owner = self._aliases.get((accessor, name))
        return None if owner is None else self.entities.get(owner)

    def alias_by_id(self, alias_id: str) -> Alias | None:
        """An alias by its own id."""
        owner = self.entities.get(self._alias_ids.get(alias_id, ""))
        found = self.aliases_of(owner) if owner is not None else ()
        return next((alias for alias in found if alias.id == alias_id), None)

    def view_of(self, entity_id: str) -> IdentityView | None:
        """Policies, state and template values; None when there is no such entity."""
        known = self._views.get(entity_id)
        if known is not None:
            return known
        entity = self.entities.get(entity_id) or self.entities.get(self._merged.get(entity_id, ""))
        if entity is None:
            return None
        view = self._views[entity_id] = self._view_of(entity)
        return view

    def _view_of(self, entity: Entity) -> IdentityView:
        groups = self.groups_of_entity(entity.id)
        policies = set(entity.policies)
        for group in groups:
            policies.update(group.policies)
        template = TemplateIdentity(
            id=entity.id,
            name=entity.name,
            metadata=dict(entity.metadata),
            aliases={
                alias.mount_accessor: TemplateAlias(
                    alias.id, alias.name, dict(alias.metadata), dict(alias.custom_metadata)
                )
                for alias in self.aliases_of(entity)
            },
            groups=tuple(TemplateGroup(g.id, g.name, dict(g.metadata)) for g in groups),
        )
        return IdentityView(tuple(sorted(policies)), entity.disabled, template)

    def groups_of_entity(self, entity_id: str) -> list[Group]:
        """Groups the entity is in, directly or through a group in a group."""
        found: dict[str, Group] = {}
        waiting = [g.id for g in self.groups.values() if entity_id in g.member_entity_ids]
        while waiting:
            group = self.groups.get(waiting.pop())
            if group is not None and group.id not in found:
                found[group.id] = group
                waiting += group.parent_group_ids
        return [found[key] for key in sorted(found)]

    async def login(
        self, mount: MountEntry, mount_path: str, name: str, metadata: dict[str, str]
    ) -> Entity:
        """The entity behind a login, made when it is the first. Raises StorageError."""
        known = self.entity_of_alias(mount.accessor, name)
        if known is not None:
            return known
        async with self.changing:
            known = self.entity_of_alias(mount.accessor, name)
            if known is not None:
                return known
            entity = self.new_entity(f"entity_{self.fresh_suffix()}")
            entity.aliases.append(self.new_alias(entity, mount, mount_path, name, metadata))
            await self._save_entity(entity)
            return entity

    def fresh_suffix(self) -> str:
        """Eight hex digits for a name that nobody chose."""
        return self._random_bytes(4).hex()

    def new_entity(self, name: str) -> Entity:
        """An entity that is not stored yet."""
        now = make_timestamp(self._clock.now_ns())
        entity_id = new_uuid(self._random_bytes)
        return Entity(
            id=entity_id,
            name=name,
            bucket_key=bucket_key(ENTITY_BUCKETS, entity_id),
            namespace_id="root",
            creation_time=now,
            last_update_time=now,
        )

    def now(self) -> Timestamp:
        """The time that a change is stamped with."""
        return make_timestamp(self._clock.now_ns())

    def new_group_alias(self, group: Group, mount: MountEntry, mount_path: str, name: str) -> Alias:
        """A group's alias that is not stored yet."""
        return Alias(
            id=new_uuid(self._random_bytes),
            canonical_id=group.id,
            mount_type=mount.type,
            mount_accessor=mount.accessor,
            mount_path=mount_path,
            name=name,
            namespace_id="root",
            creation_time=self.now(),
            last_update_time=self.now(),
        )

    def new_alias(
        self,
        entity: Entity,
        mount: MountEntry,
        mount_path: str,
        name: str,
        metadata: dict[str, str],
    ) -> Alias:
        """An alias that is not stored yet, nor in its entity."""
        now = make_timestamp(self._clock.now_ns())
        alias = Alias(
            id=new_uuid(self._random_bytes),
            canonical_id=entity.id,
            mount_type=mount.type,
            mount_accessor=mount.accessor,
            mount_path=mount_path,
            name=name,
            namespace_id="root",
            local=mount.local,
            metadata=metadata,
            creation_time=now,
            last_update_time=now,
        )
        alias.local_bucket_key = bucket_key(LOCAL_ALIAS_BUCKETS, entity.id)
        return alias

    async def save_entity(self, entity: Entity) -> None:
        """Store a new or changed entity. Hold ``changing``. Raises StorageError."""
        entity.last_update_time.CopyFrom(make_timestamp(self._clock.now_ns()))
        await self._save_entity(entity)

    async def _save_entity(self, entity: Entity) -> None:
        await self._write(ENTITY_BUCKETS, entity.id, lambda bucket: put_entity(bucket, entity))
        self._unindex(entity.id)
        self.entities[entity.id] = entity
        self._index(entity)
        self._changed()

    async def save_local_aliases(self, entity_id: str, aliases: list[Alias]) -> None:
        """Store changed aliases of local mounts. Hold ``changing``. Raises StorageError."""
        await self._write(
            LOCAL_ALIAS_BUCKETS,
            entity_id,
            lambda bucket: put_local_aliases(bucket, entity_id, aliases),
        )
        self._local_aliases[entity_id] = aliases
        self._changed()

    async def delete_entity(self, entity_id: str) -> None:
        """Remove an entity, also from its groups. Hold ``changing``. Raises StorageError."""
        for group in [g for g in self.groups.values() if entity_id in g.member_entity_ids]:
            changed = Group.FromString(group.SerializeToString())
            changed.member_entity_ids.remove(entity_id)
            await self.save_group(changed)
        await self._write(ENTITY_BUCKETS, entity_id, lambda bucket: remove_item(bucket, entity_id))
        self._unindex(entity_id)
        self.entities.pop(entity_id, None)
        self._changed()

    def new_group(self, name: str) -> Group:
        """A group that is not stored yet."""
        group = Group(id=new_uuid(self._random_bytes), name=name)
        group.type = "internal"
        group.namespace_id = "root"
        group.bucket_key = bucket_key(GROUP_BUCKETS, group.id)
        group.creation_time.CopyFrom(make_timestamp(self._clock.now_ns()))
        return group

    def group_named(self, name: str) -> Group | None:
        """Names compare without case, as in Vault."""
        wanted = name.lower()
        return next((g for g in self.groups.values() if g.name.lower() == wanted), None)

    async def save_group(self, group: Group) -> None:
        """Store a new or changed group. Hold ``changing``. Raises StorageError."""
        group.modify_index += 1
        group.last_update_time.CopyFrom(make_timestamp(self._clock.now_ns()))
        await self._write(GROUP_BUCKETS, group.id, lambda bucket: put_group(bucket, group))
        self.groups[group.id] = group
        self._changed()

    async def delete_group(self, group_id: str) -> None:
        """Remove a group. Hold ``changing``. Raises StorageError."""
        await self._write(GROUP_BUCKETS, group_id, lambda bucket: remove_item(bucket, group_id))
        self.groups.pop(group_id, None)
        self._changed()

    async def forget_mount(self, accessor: str) -> None:
        """Drop the aliases of an auth mount that is gone. Raises StorageError."""

        def dropped(entity: Entity) -> None:
            kept = [alias for alias in entity.aliases if alias.mount_accessor != accessor]
            del entity.aliases[:]
            entity.aliases.extend(kept)

        await self._change_owners(accessor, dropped)

    async def mount_moved(self, accessor: str, path: str) -> None:
        """The aliases of an auth mount say where it is now. Raises StorageError."""

        def renamed(entity: Entity) -> None:
            for alias in entity.aliases:
                if alias.mount_accessor == accessor:
                    alias.mount_path = path

        await self._change_owners(accessor, renamed)

    async def _change_owners(self, accessor: str, change: Callable[[Entity], None]) -> None:
        async with self.changing:
            owners = {owner for (mount, _), owner in self._aliases.items() if mount == accessor}
            for owner in sorted(owners & self.entities.keys()):
                entity = Entity.FromString(self.entities[owner].SerializeToString())
                change(entity)
                await self._save_entity(entity)

    async def _write(self, prefix: str, item_id: str, change: Callable[[Bucket], object]) -> None:
        """Change a copy of the bucket, store it, then let memory see it."""
        key = bucket_key(prefix, item_id)
        known = self._buckets.get(key)
        bucket = Bucket(key=key) if known is None else Bucket.FromString(known.SerializeToString())
        change(bucket)
        operation: Operation = Put(key, encode_bucket(bucket)) if bucket.items else Delete(key)
        await self._view.apply([operation])
        self._buckets[key] = bucket

    def _changed(self) -> None:
        self._views.clear()
        self.epoch += 1
        self._on_change()
