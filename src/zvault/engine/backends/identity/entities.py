"""``identity/entity`` and ``identity/lookup/entity``.

What lives here: fields and answers. What never does: buckets (``engine/identity/store.py``).
"""

from typing import Any

from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.backends.identity.mounts import Mounts
from zvault.engine.backends.identity.shown import alias_brief, shown_alias, time_of
from zvault.engine.errors import InvalidRequestError
from zvault.engine.identity.login import sanitized
from zvault.engine.identity.store import IdentityStore
from zvault.engine.policy import builtin
from zvault.records.identity import Entity

_FIELDS = {
    "id": Field(FieldKind.STRING, ""),
    "name": Field(FieldKind.STRING, ""),
    "metadata": Field(FieldKind.KV_PAIRS, {}),
    "policies": Field(FieldKind.COMMA_LIST, []),
    "disabled": Field(FieldKind.BOOL, False),
}
_BATCH = {"entity_ids": Field(FieldKind.COMMA_LIST, [])}
LOOKUP = {
    "id": Field(FieldKind.STRING, ""),
    "name": Field(FieldKind.STRING, ""),
    "alias_id": Field(FieldKind.STRING, ""),
    "alias_name": Field(FieldKind.STRING, ""),
    "alias_mount_accessor": Field(FieldKind.STRING, ""),
}


def checked_policies(policies: list[str]) -> tuple[str, ...]:
    """Policies an entity or group may bring. Raises InvalidRequestError."""
    names = sanitized(policies)
    if builtin.ROOT in names:
        raise InvalidRequestError("policies cannot contain root")
    return names


def asked_id(request: Request, data: FieldData) -> str:
    """The id asked for; on a path that names someone the name decides, as the policies do."""
    wanted: str = data["id"]
    return "" if "/name/" in request.relative_path else wanted


def lookup_kind(data: FieldData) -> str:
    """What a look-up asks by, one thing only. Raises InvalidRequestError."""
    asked = [name for name in ("id", "name", "alias_id") if data[name]]
    if data["alias_name"] or data["alias_mount_accessor"]:
        asked.append("alias")
    if not asked:
        raise InvalidRequestError("query parameter not supplied")
    if len(asked) > 1:
        raise InvalidRequestError(
            "query parameter conflict; please supply distinct set of query parameters"
        )
    if asked == ["alias"] and not (data["alias_name"] and data["alias_mount_accessor"]):
        raise InvalidRequestError("both 'alias_name' and 'alias_mount_accessor' needs to be set")
    return asked[0]


class Entities:
    """Who there is."""

    def __init__(self, store: IdentityStore, mounts: Mounts) -> None:
        self._store = store
        self._mounts = mounts

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route("entity/?", {Operation.UPDATE: self._write}, _FIELDS),
            Route("entity/id/?", {Operation.LIST: self._list_ids}),
            Route("entity/name/?", {Operation.LIST: self._list_names}),
            self._one(r"entity/id/(?P<id>[^/]+)"),
            self._one(r"entity/name/(?P<name>.+)"),
            Route("entity/batch-delete", {Operation.UPDATE: self._delete_many}, _BATCH),
            Route("lookup/entity", {Operation.UPDATE: self._lookup}, LOOKUP),
        ]

    def _one(self, pattern: str) -> Route:
        return Route(
            pattern,
            {
                Operation.READ: self._read,
                Operation.UPDATE: self._write,
                Operation.DELETE: self._delete,
            },
            _FIELDS,
        )

    def _find(self, request: Request, data: FieldData) -> Entity | None:
        wanted = asked_id(request, data)
        if wanted:
            return self._store.entities.get(wanted)
        return self._store.entity_named(data["name"]) if data["name"] else None

    async def _write(self, request: Request, data: FieldData) -> Response | None:
        async with self._store.changing:
            return await self._changed(request, data)

    async def _changed(self, request: Request, data: FieldData) -> Response | None:
        known = self._find(request, data)
        if known is None and asked_id(request, data):
            raise InvalidRequestError("entity not found from id")
        name = data["name"]
        if known is None:
            entity = self._store.new_entity(name or f"entity_{self._store.fresh_suffix()}")
        else:
            entity = Entity.FromString(known.SerializeToString())
            other = self._store.entity_named(name) if name else None
            if other is not None and other.id != entity.id:
                raise InvalidRequestError("entity name is already in use")
            entity.name = name or entity.name
        if "metadata" in data:
            entity.metadata.clear()
            entity.metadata.update(data["metadata"])
        if "policies" in data:
            entity.policies[:] = checked_policies(data["policies"])
        if "disabled" in data:
            entity.disabled = data["disabled"]
        await self._store.save_entity(entity)
        if known is not None:
            return None
        return Response(data={"aliases": None, "id": entity.id, "name": entity.name})

    async def _read(self, request: Request, data: FieldData) -> Response | None:
        entity = self._find(request, data)
        return None if entity is None else Response(data=self._shown(entity))

    async def _delete(self, request: Request, data: FieldData) -> None:
        async with self._store.changing:
            entity = self._find(request, data)
            if entity is not None:
                await self._store.delete_entity(entity.id)

    async def _list_ids(self, request: Request, data: FieldData) -> Response:
        info = {entity.id: self._brief(entity) for entity in self._store.entities.values()}
        return Response(data={"keys": sorted(info), "key_info": info} if info else {"keys": []})

    async def _list_names(self, request: Request, data: FieldData) -> Response:
        return Response(data={"keys": sorted(e.name for e in self._store.entities.values())})

    async def _delete_many(self, request: Request, data: FieldData) -> None:
        if not data["entity_ids"]:
            raise InvalidRequestError("missing entity ids to delete")
        async with self._store.changing:
            for entity_id in data["entity_ids"]:
                if entity_id in self._store.entities:
                    await self._store.delete_entity(entity_id)

    def _brief(self, entity: Entity) -> dict[str, Any]:
        aliases = [alias_brief(alias, self._mounts) for alias in self._store.aliases_of(entity)]
        return {"name": entity.name, **({"aliases": aliases} if aliases else {})}

    async def _lookup(self, request: Request, data: FieldData) -> Response | None:
        asked = lookup_kind(data)
        entity = None
        if asked == "id":
            entity = self._store.entities.get(data["id"])
        elif asked == "name":
            entity = self._store.entity_named(data["name"])
        elif asked == "alias_id":
            alias = self._store.alias_by_id(data["alias_id"])
            entity = None if alias is None else self._store.entities.get(alias.canonical_id)
        else:
            entity = self._store.entity_of_alias(data["alias_mount_accessor"], data["alias_name"])
        return None if entity is None else Response(data=self._shown(entity))

    def _shown(self, entity: Entity) -> dict[str, Any]:
        direct = sorted(
            group.id
            for group in self._store.groups.values()
            if entity.id in group.member_entity_ids
        )
        every = [group.id for group in self._store.groups_of_entity(entity.id)]
        return {
            "aliases": [
                shown_alias(alias, self._mounts) for alias in self._store.aliases_of(entity)
            ],
            "creation_time": time_of(entity.creation_time),
            "direct_group_ids": direct,
            "disabled": entity.disabled,
            "group_ids": every,
            "id": entity.id,
            "inherited_group_ids": [group for group in every if group not in direct],
            "last_update_time": time_of(entity.last_update_time),
            "merged_entity_ids": list(entity.merged_entity_ids) or None,
            "metadata": dict(entity.metadata) or None,
            "mfa_secrets": {},
            "name": entity.name,
            "namespace_id": entity.namespace_id or "root",
            "policies": list(entity.policies),
        }
