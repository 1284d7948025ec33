"""``identity/group`` and ``identity/lookup/group``.

What lives here: fields and answers; membership of groups in groups. What never does: buckets.
Invariant: no group is in itself, on whatever way.
"""

from typing import Any

from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.backends.identity.entities import (
    LOOKUP,
    asked_id,
    checked_policies,
    lookup_kind,
)
from zvault.engine.backends.identity.mounts import Mounts
from zvault.engine.backends.identity.shown import alias_brief, shown_group_alias, time_of
from zvault.engine.errors import InvalidRequestError
from zvault.engine.identity.store import IdentityStore
from zvault.records.identity import Group

_FIELDS = {
    "id": Field(FieldKind.STRING, ""),
    "name": Field(FieldKind.STRING, ""),
    "type": Field(FieldKind.STRING, ""),
    "metadata": Field(FieldKind.KV_PAIRS, {}),
    "policies": Field(FieldKind.COMMA_LIST, []),
    "member_entity_ids": Field(FieldKind.COMMA_LIST, []),
    "member_group_ids": Field(FieldKind.COMMA_LIST, []),
}


class Groups:
    """Who belongs together."""

    def __init__(self, store: IdentityStore, mounts: Mounts) -> None:
        self._store = store
        self._mounts = mounts

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route("group/?", {Operation.UPDATE: self._write}, _FIELDS),
            Route("group/id/?", {Operation.LIST: self._list_ids}),
            Route("group/name/?", {Operation.LIST: self._list_names}),
            self._one(r"group/id/(?P<id>[^/]+)"),
            self._one(r"group/name/(?P<name>.+)"),
            Route("lookup/group", {Operation.UPDATE: self._lookup}, LOOKUP),
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

    def _find(self, request: Request, data: FieldData) -> Group | None:
        wanted = asked_id(request, data)
        if wanted:
            return self._store.groups.get(wanted)
        return self._store.group_named(data["name"]) if data["name"] else None

    async def _write(self, request: Request, data: FieldData) -> Response | None:
        async with self._store.changing:
            return await self._changed(request, data)

    async def _changed(self, request: Request, data: FieldData) -> Response | None:
        known = self._find(request, data)
        if known is None and asked_id(request, data):
            raise InvalidRequestError("invalid group ID")
        if data["type"] not in ("", "internal", "external"):
            raise InvalidRequestError(f'invalid group type "{data["type"]}"')
        if known is None:
            group = self._store.new_group(data["name"] or f"group_{self._store.fresh_suffix()}")
            group.type = data["type"] or "internal"
        else:
            group = Group.FromString(known.SerializeToString())
            if data.get("type", group.type) != group.type:
                raise InvalidRequestError("group type cannot be changed")
            self._rename(group, data["name"])
        self._fill(group, data)
        await self._store.save_group(group)
        if "member_group_ids" in data:
            await self._set_members(group.id, data["member_group_ids"])
        return None if known is not None else Response(data={"id": group.id, "name": group.name})

    def _rename(self, group: Group, name: str) -> None:
        other = self._store.group_named(name) if name else None
        if other is not None and other.id != group.id:
            raise InvalidRequestError("group name is already in use")
        group.name = name or group.name

    def _fill(self, group: Group, data: FieldData) -> None:
        if "metadata" in data:
            group.metadata.clear()
            group.metadata.update(data["metadata"])
        if "policies" in data:
            group.policies[:] = checked_policies(data["policies"])
        if "member_entity_ids" in data:
            if group.type == "external" and data["member_entity_ids"]:
                raise InvalidRequestError(
                    "member entities can't be set manually for external groups"
                )
            for member in data["member_entity_ids"]:
                if member not in self._store.entities:
                    raise InvalidRequestError(f'invalid entity ID "{member}"')
            group.member_entity_ids[:] = data["member_entity_ids"]
        for member in data["member_group_ids"]:
            if member not in self._store.groups:
                raise InvalidRequestError(f'invalid group ID "{member}"')
            if member == group.id or member in self._ancestors(group.id):
                raise InvalidRequestError("cyclic relationship detected for member group ID")

    def _ancestors(self, group_id: str) -> set[str]:
        found: set[str] = set()
        waiting = [group_id]
        while waiting:
            group = self._store.groups.get(waiting.pop())
            for parent in group.parent_group_ids if group is not None else ():
                if parent not in found:
                    found.add(parent)
                    waiting.append(parent)
        return found

    async def _set_members(self, group_id: str, members: list[str]) -> None:
        """A group's members are those groups that name it as parent."""
        for group in list(self._store.groups.values()):
            is_member = group_id in group.parent_group_ids
            if is_member is (group.id in members):
                continue
            changed = Group.FromString(group.SerializeToString())
            if is_member:
                changed.parent_group_ids.remove(group_id)
            else:
                changed.parent_group_ids.append(group_id)
            await self._store.save_group(changed)

    async def _read(self, request: Request, data: FieldData) -> Response | None:
        group = self._find(request, data)
        return None if group is None else Response(data=self._shown(group))

    async def _delete(self, request: Request, data: FieldData) -> None:
        async with self._store.changing:
            group = self._find(request, data)
            if group is not None:
                await self._set_members(group.id, [])
                await self._store.delete_group(group.id)

    async def _lookup(self, request: Request, data: FieldData) -> Response | None:
        asked = lookup_kind(data)
        if asked == "id":
            group = self._store.groups.get(data["id"])
        elif asked == "name":
            group = self._store.group_named(data["name"])
        else:
            group = self._of_alias(data, asked)
        return None if group is None else Response(data=self._shown(group))

    def _of_alias(self, data: FieldData, asked: str) -> Group | None:
        for group in self._store.groups.values():
            if not group.HasField("alias"):
                continue
            if asked == "alias_id" and group.alias.id == data["alias_id"]:
                return group
            names = (group.alias.mount_accessor, group.alias.name)
            if asked == "alias" and names == (data["alias_mount_accessor"], data["alias_name"]):
                return group
        return None

    async def _list_ids(self, request: Request, data: FieldData) -> Response:
        info = {group.id: self._brief(group) for group in self._store.groups.values()}
        return Response(data={"keys": sorted(info), "key_info": info} if info else {"keys": []})

    async def _list_names(self, request: Request, data: FieldData) -> Response:
        return Response(data={"keys": sorted(g.name for g in self._store.groups.values())})

    def _shown(self, group: Group) -> dict[str, Any]:
        members = sorted(
            other.id for other in self._store.groups.values() if group.id in other.parent_group_ids
        )
        return {
            "alias": shown_group_alias(group.alias, self._mounts)
            if group.HasField("alias")
            else {},
            "creation_time": time_of(group.creation_time),
            "id": group.id,
            "last_update_time": time_of(group.last_update_time),
            "member_entity_ids": list(group.member_entity_ids) or None,
            "member_group_ids": members or None,
            "metadata": dict(group.metadata) or None,
            "modify_index": group.modify_index,
            "name": group.name,
            "namespace_id": group.namespace_id or "root",
            "parent_group_ids": list(group.parent_group_ids) or None,
            "policies": list(group.policies) or None,
            "type": group.type,
        }

    def _brief(self, group: Group) -> dict[str, Any]:
        brief = {
            "name": group.name,
            "num_member_entities": len(group.member_entity_ids),
            "num_parent_groups": len(group.parent_group_ids),
        }
        alias = alias_brief(group.alias, self._mounts) if group.HasField("alias") else None
        return brief if alias is None else {**brief, "alias": alias}
