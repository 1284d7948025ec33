"""``identity/entity-alias``: names at auth mounts, and the entities they belong to.

What lives here: fields, rules, answers. What never does: buckets (``engine/identity/store.py``).
Invariant: one (mount accessor, name) belongs to one entity, and through the API an entity gets no
second alias on a mount.
"""

from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.backends.identity.mounts import Mounts
from zvault.engine.backends.identity.shown import alias_alone, alias_list
from zvault.engine.errors import InvalidRequestError
from zvault.engine.identity.store import IdentityStore
from zvault.records.identity import Alias, Entity
from zvault.records.mounts import MountEntry

_TEXT = Field(FieldKind.STRING, "")
_FIELDS = {
    "id": _TEXT,
    "name": _TEXT,
    "mount_accessor": _TEXT,
    "canonical_id": _TEXT,
    "entity_id": _TEXT,
    "custom_metadata": Field(FieldKind.KV_PAIRS, {}),
}
_MAX_KEYS, _MAX_KEY, _MAX_VALUE = 64, 128, 512
_LOCAL = "aliases of local mounts cannot be changed here"
_TAKEN = "Alias already exists for requested entity and mount accessor"


class EntityAliases:
    """Three paths."""

    def __init__(self, store: IdentityStore, mounts: Mounts) -> None:
        self._store = store
        self._mounts = mounts

    def routes(self) -> list[Route]:
        """The path table."""
        one = {
            Operation.READ: self._read,
            Operation.UPDATE: self._write,
            Operation.DELETE: self._delete,
        }
        return [
            Route("entity-alias/?", {Operation.UPDATE: self._write}, _FIELDS),
            Route("entity-alias/id/?", {Operation.LIST: self._list}),
            Route(r"entity-alias/id/(?P<id>[^/]+)", one, _FIELDS),
        ]

    async def _list(self, request: Request, data: FieldData) -> Response:
        entities = self._store.entities.values()
        found = [alias for entity in entities for alias in self._store.aliases_of(entity)]
        return Response(data=alias_list(found, self._mounts))

    async def _read(self, request: Request, data: FieldData) -> Response | None:
        alias = self._store.alias_by_id(data["id"])
        return None if alias is None else Response(data=alias_alone(alias, self._mounts))

    async def _delete(self, request: Request, data: FieldData) -> None:
        async with self._store.changing:
            alias = self._store.alias_by_id(data["id"])
            if alias is not None:
                await self._take(alias)

    async def _write(self, request: Request, data: FieldData) -> Response | None:
        if "custom_metadata" in data:
            _check_custom(data["custom_metadata"])
        async with self._store.changing:
            if data["id"]:
                alias = self._store.alias_by_id(data["id"])
                if alias is None:
                    raise InvalidRequestError("invalid alias ID provided")
                custom = data.get("custom_metadata", dict(alias.custom_metadata))
                return await self._change(alias, data, custom)
            if not (data["name"] and data["mount_accessor"]):
                raise InvalidRequestError("'id' or 'mount_accessor' and 'name' must be provided")
            mount = self._mounts.by_accessor(data["mount_accessor"])
            alias = self._named(mount.accessor, data["name"])
            if alias is not None:
                return await self._change(alias, data, data["custom_metadata"])
            return await self._create(mount, data)

    def _named(self, accessor: str, name: str) -> Alias | None:
        owner = self._store.entity_of_alias(accessor, name)
        aliases = self._store.aliases_of(owner) if owner is not None else ()
        found = (a for a in aliases if (a.mount_accessor, a.name) == (accessor, name))
        return next(found, None)

    def _owner(self, data: FieldData) -> Entity | None:
        """The entity that is asked for. Raises InvalidRequestError."""
        wanted = data["canonical_id"] or data["entity_id"]
        if not wanted:
            return None
        entity = self._store.entities.get(wanted)
        if entity is None:
            raise InvalidRequestError("invalid canonical ID")
        return entity

    async def _create(self, mount: MountEntry, data: FieldData) -> Response:
        owner = self._owner(data)
        if owner is None:
            entity = self._store.new_entity(f"entity_{self._store.fresh_suffix()}")
        else:
            self._check_free(owner, mount.accessor, "")
            entity = _copy(owner)
        prefix = self._mounts.path_of(mount)
        alias = self._store.new_alias(entity, mount, prefix, data["name"], {})
        alias.custom_metadata.update(data["custom_metadata"])
        entity.aliases.append(alias)
        await self._store.save_entity(entity)
        return _answer(alias)

    def _check_free(self, entity: Entity, accessor: str, alias_id: str) -> None:
        for alias in self._store.aliases_of(entity):
            if alias.mount_accessor == accessor and alias.id != alias_id:
                raise InvalidRequestError(_TAKEN)

    async def _change(
        self, alias: Alias, data: FieldData, custom: dict[str, str]
    ) -> Response | None:
        if alias.local:
            raise InvalidRequestError(_LOCAL)
        mount = self._mounts.by_accessor(data["mount_accessor"] or alias.mount_accessor)
        owner = self._owner(data) or self._store.entities[alias.canonical_id]
        name = data["name"] or alias.name
        wanted = (mount.accessor, name, owner.id, dict(custom))
        if wanted == (
            alias.mount_accessor,
            alias.name,
            alias.canonical_id,
            dict(alias.custom_metadata),
        ):
            return None
        other = self._named(mount.accessor, name)
        if other is not None and other.id != alias.id:
            raise InvalidRequestError(
                "alias with combination of mount accessor and name already exists"
            )
        self._check_free(owner, mount.accessor, alias.id)
        moved = Alias.FromString(alias.SerializeToString())
        moved.name, moved.canonical_id = name, owner.id
        moved.mount_accessor, moved.mount_type = mount.accessor, mount.type
        moved.mount_path = self._mounts.path_of(mount)
        moved.custom_metadata.clear()
        moved.custom_metadata.update(custom)
        moved.last_update_time.CopyFrom(self._store.now())
        if owner.id != alias.canonical_id:
            # First away from the old entity: cut off here, nobody has it, and a login makes it.
            await self._take(alias)
        entity = _copy(self._store.entities[owner.id])
        kept = [known for known in entity.aliases if known.id != alias.id]
        del entity.aliases[:]
        entity.aliases.extend([*kept, moved])
        await self._store.save_entity(entity)
        return _answer(moved)

    async def _take(self, alias: Alias) -> None:
        """Remove an alias from its entity. Hold ``changing``."""
        entity = _copy(self._store.entities[alias.canonical_id])
        kept = [known for known in entity.aliases if known.id != alias.id]
        if len(kept) == len(entity.aliases):
            raise InvalidRequestError(_LOCAL)
        del entity.aliases[:]
        entity.aliases.extend(kept)
        await self._store.save_entity(entity)


def _copy(entity: Entity) -> Entity:
    return Entity.FromString(entity.SerializeToString())


def _answer(alias: Alias) -> Response:
    return Response(data={"canonical_id": alias.canonical_id, "id": alias.id})


def _check_custom(metadata: dict[str, str]) -> None:
    """Raises InvalidRequestError for more than a real server takes."""
    if len(metadata) > _MAX_KEYS:
        raise InvalidRequestError("custom_metadata validation failed: too many keys")
    for key, value in metadata.items():
        if not 0 < len(key) <= _MAX_KEY or not 0 < len(value) <= _MAX_VALUE:
            raise InvalidRequestError(
                "custom_metadata validation failed: a key or a value is empty or too long"
            )
        if not key.isprintable() or not value.isprintable():
            raise InvalidRequestError(
                "custom_metadata validation failed: a key or a value is not printable"
            )
