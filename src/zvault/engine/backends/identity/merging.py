"""``identity/entity/merge``: entities that turn out to be one.

What lives here: the rules of a merge and its steps. What never does: buckets.
Invariants: the entity that stays gains aliases and group memberships, never policies or metadata;
tokens of an entity that went are those of the one that stayed; cut off anywhere, the next start
finishes (``IdentityStore.load``).
"""

from collections.abc import Sequence

from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InvalidRequestError
from zvault.engine.identity.store import IdentityStore
from zvault.records.identity import Alias, Entity, Group

_FIELDS = {
    "from_entity_ids": Field(FieldKind.COMMA_LIST, ()),
    "to_entity_id": Field(FieldKind.STRING, ""),
    "conflicting_alias_ids_to_keep": Field(FieldKind.COMMA_LIST, ()),
    "force": Field(FieldKind.BOOL, False),
}


class Merging:
    """One path."""

    def __init__(self, store: IdentityStore) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """The path table."""
        return [Route("entity/merge", {Operation.UPDATE: self._merge}, _FIELDS)]

    async def _merge(self, request: Request, data: FieldData) -> Response | None:
        async with self._store.changing:
            target = self._target(data)
            sources = self._sources(data, target)
            keep = set(data["conflicting_alias_ids_to_keep"])
            dropped = _clashes(target, sources, keep)
            for source in sources:
                await self._merge_one(target.id, source, dropped)
        return None

    def _target(self, data: FieldData) -> Entity:
        if not data["to_entity_id"]:
            raise InvalidRequestError("missing entity id to merge to")
        if not data["from_entity_ids"]:
            raise InvalidRequestError("missing entity ids to merge from")
        target = self._store.entities.get(data["to_entity_id"])
        if target is None:
            raise InvalidRequestError("entity id to merge to is invalid")
        return target

    def _sources(self, data: FieldData, target: Entity) -> list[Entity]:
        found = []
        for entity_id in dict.fromkeys(data["from_entity_ids"]):
            if entity_id == target.id:
                raise InvalidRequestError("to_entity_id should not be present in from_entity_ids")
            source = self._store.entities.get(entity_id)
            if source is None:
                raise InvalidRequestError("entity id to merge from is invalid")
            if len(self._store.aliases_of(source)) != len(source.aliases):
                raise InvalidRequestError("entities with aliases of local mounts do not merge")
            found.append(source)
        return found

    async def _merge_one(self, target_id: str, source: Entity, dropped: set[str]) -> None:
        target = _copy(self._store.entities[target_id])
        kept = [alias for alias in target.aliases if alias.id not in dropped]
        for alias in source.aliases:
            if alias.id not in dropped:
                moved = Alias.FromString(alias.SerializeToString())
                moved.canonical_id = target_id
                moved.merged_from_canonical_ids.append(source.id)
                kept.append(moved)
        del target.aliases[:]
        target.aliases.extend(kept)
        target.merged_entity_ids.extend([source.id, *source.merged_entity_ids])
        await self._store.save_entity(target)
        for group in list(self._store.groups.values()):
            if source.id in group.member_entity_ids:
                await self._replace_member(group, source.id, target_id)
        await self._store.delete_entity(source.id)

    async def _replace_member(self, group: Group, old: str, new: str) -> None:
        changed = Group.FromString(group.SerializeToString())
        members = [new if member == old else member for member in changed.member_entity_ids]
        changed.member_entity_ids[:] = list(dict.fromkeys(members))
        await self._store.save_group(changed)


def _clashes(target: Entity, sources: Sequence[Entity], keep: set[str]) -> set[str]:
    """Ids of aliases that go, because the other one of the same mount was asked to be kept.

    Raises InvalidRequestError when that was not said.
    """
    seen: set[str] = set()
    for source in sources:
        accessors = {alias.mount_accessor for alias in source.aliases}
        for accessor in sorted(accessors & seen):
            raise InvalidRequestError(
                f"mount accessor {accessor} found in multiple fromEntities, merge should be done "
                "with one fromEntity at a time"
            )
        seen |= accessors
    dropped: set[str] = set()
    pairs = [
        (own, other)
        for own in target.aliases
        for source in sources
        for other in source.aliases
        if own.mount_accessor == other.mount_accessor
    ]
    for own, other in pairs:
        if (own.id in keep) is (other.id in keep):
            raise InvalidRequestError(
                "toEntity and at least one fromEntity have aliases with the same mount accessor, "
                "repeat the merge request specifying exactly one fromEntity, clashes: "
                f"mountAccessor: {own.mount_accessor}, conflicting toEntity alias ID: {own.id}, "
                f"conflicting fromEntity alias ID: {other.id}"
            )
        dropped.add(other.id if own.id in keep else own.id)
    return dropped


def _copy(entity: Entity) -> Entity:
    return Entity.FromString(entity.SerializeToString())
