"""``identity/entity``, ``identity/entity-alias`` (reading) and ``identity/lookup/entity``.

What lives here: fields and answers. What never does: buckets (``engine/identity.py``).
"""

from collections.abc import Callable
from typing import Any

from zvault.base.gotime import format_time
from zvault.engine.api import Operation, Request, Response
from zvault.engine.errors import InvalidRequestError
from zvault.engine.fields import FieldKind
from zvault.engine.framework import Field, FieldData, Route
from zvault.engine.identity import IdentityStore
from zvault.engine.login import sanitized
from zvault.engine.policy import builtin
from zvault.engine.userdata import Timestamp
from zvault.records.identity import Alias, Entity, timestamp_ns

_FIELDS = {
    "id": Field(FieldKind.STRING, ""),
    "name": Field(FieldKind.STRING, ""),
    "metadata": Field(FieldKind.KV_PAIRS, {}),
    "policies": Field(FieldKind.COMMA_LIST, []),
    "disabled": Field(FieldKind.BOOL, False),
}
_LOOKUP = {
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


class Entities:
    """Who there is."""

    def __init__(self, store: IdentityStore) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route("entity/?", {Operation.UPDATE: self._write}, _FIELDS),
            Route("entity/id/?", {Operation.LIST: self._list_ids}),
            Route("entity/name/?", {Operation.LIST: self._list_names}),
            self._one(r"entity/id/(?P<id>[^/]+)"),
            self._one(r"entity/name/(?P<name>.+)"),
            Route("entity-alias/id/?", {Operation.LIST: self._list_aliases}),
            Route(
                r"entity-alias/id/(?P<id>[^/]+)",
                {Operation.READ: self._read_alias},
                {"id": Field(FieldKind.STRING, "")},
            ),
            Route("lookup/entity", {Operation.UPDATE: self._lookup}, _LOOKUP),
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
        return self._listed(lambda entity: entity.id)

    async def _list_names(self, request: Request, data: FieldData) -> Response:
        return self._listed(lambda entity: entity.name)

    def _listed(self, key: Callable[[Entity], str]) -> Response:
        found = {key(entity): entity for entity in self._store.entities.values()}
        info = {name: {"name": found[name].name, "id": found[name].id} for name in sorted(found)}
        return Response(data={"keys": sorted(found), "key_info": info} if found else {"keys": []})

    async def _list_aliases(self, request: Request, data: FieldData) -> Response:
        keys = sorted(
            alias.id
            for entity in self._store.entities.values()
            for alias in self._store.aliases_of(entity)
        )
        return Response(data={"keys": keys})

    async def _read_alias(self, request: Request, data: FieldData) -> Response | None:
        for entity in self._store.entities.values():
            for alias in self._store.aliases_of(entity):
                if alias.id == data["id"]:
                    return Response(data=_shown_alias(alias))
        return None

    async def _lookup(self, request: Request, data: FieldData) -> Response | None:
        entity = self._find(request, data)
        if entity is None and data["alias_id"]:
            entity = next(
                (
                    candidate
                    for candidate in self._store.entities.values()
                    if any(a.id == data["alias_id"] for a in self._store.aliases_of(candidate))
                ),
                None,
            )
        if entity is None and data["alias_name"] and data["alias_mount_accessor"]:
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
            "aliases": [_shown_alias(alias) for alias in self._store.aliases_of(entity)],
            "creation_time": Timestamp(format_time(timestamp_ns(entity.creation_time))),
            "direct_group_ids": direct,
            "disabled": entity.disabled,
            "group_ids": every,
            "id": entity.id,
            "inherited_group_ids": [group for group in every if group not in direct],
            "last_update_time": Timestamp(format_time(timestamp_ns(entity.last_update_time))),
            "merged_entity_ids": list(entity.merged_entity_ids) or None,
            "metadata": dict(entity.metadata) or None,
            "mfa_secrets": {},
            "name": entity.name,
            "namespace_id": entity.namespace_id or "root",
            "policies": list(entity.policies),
        }


def _shown_alias(alias: Alias) -> dict[str, Any]:
    return {
        "canonical_id": alias.canonical_id,
        "creation_time": Timestamp(format_time(timestamp_ns(alias.creation_time))),
        "custom_metadata": dict(alias.custom_metadata) or None,
        "id": alias.id,
        "last_update_time": Timestamp(format_time(timestamp_ns(alias.last_update_time))),
        "local": alias.local,
        "merged_from_canonical_ids": list(alias.merged_from_canonical_ids) or None,
        "metadata": dict(alias.metadata) or None,
        "mount_accessor": alias.mount_accessor,
        "mount_path": alias.mount_path,
        "mount_type": alias.mount_type,
        "name": alias.name,
    }
