"""``identity/group-alias``: the name that an external group has at an issuer.

What lives here: fields, rules, answers. What never does: buckets; membership
(``engine/identity/external_groups.py``).
Invariant: only external groups have an alias, one each; one (mount accessor, name) is one group's.
"""

from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.backends.identity.mounts import Mounts
from zvault.engine.backends.identity.shown import alias_alone, alias_list
from zvault.engine.errors import InvalidRequestError
from zvault.engine.identity.store import IdentityStore
from zvault.records.identity import Alias, Group
from zvault.records.mounts import MountEntry

_TEXT = Field(FieldKind.STRING, "")
_FIELDS = {"id": _TEXT, "name": _TEXT, "mount_accessor": _TEXT, "canonical_id": _TEXT}


class GroupAliases:
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
            Route("group-alias/?", {Operation.UPDATE: self._write}, _FIELDS),
            Route("group-alias/id/?", {Operation.LIST: self._list}),
            Route(r"group-alias/id/(?P<id>[^/]+)", one, _FIELDS),
        ]

    def _groups(self) -> list[Group]:
        return [group for group in self._store.groups.values() if group.HasField("alias")]

    def _by_id(self, alias_id: str) -> Group | None:
        return next((group for group in self._groups() if group.alias.id == alias_id), None)

    async def _list(self, request: Request, data: FieldData) -> Response:
        return Response(data=alias_list([g.alias for g in self._groups()], self._mounts))

    async def _read(self, request: Request, data: FieldData) -> Response | None:
        group = self._by_id(data["id"])
        return None if group is None else Response(data=alias_alone(group.alias, self._mounts))

    async def _delete(self, request: Request, data: FieldData) -> None:
        async with self._store.changing:
            group = self._by_id(data["id"])
            if group is not None:
                await self._set(group, None)

    async def _write(self, request: Request, data: FieldData) -> Response:
        async with self._store.changing:
            before = self._by_id(data["id"]) if data["id"] else None
            if data["id"] and before is None:
                raise InvalidRequestError("invalid group alias ID")
            if not data["name"]:
                raise InvalidRequestError("missing alias name")
            if not data["mount_accessor"]:
                raise InvalidRequestError("missing mount_accessor")
            mount = self._mounts.by_accessor(data["mount_accessor"])
            for group in self._groups():
                names = (group.alias.mount_accessor, group.alias.name)
                if names == (mount.accessor, data["name"]) and group is not before:
                    raise InvalidRequestError(
                        "combination of mount and group alias name is already in use"
                    )
            group = self._target(data, before)
            if before is not None and before.id != group.id:
                await self._set(before, None)
            alias = self._made(group, mount, data["name"], before)
            await self._set(group, alias)
            return Response(data={"canonical_id": group.id, "id": alias.id})

    def _target(self, data: FieldData, before: Group | None) -> Group:
        """The group that gets the alias. Raises InvalidRequestError."""
        if not data["canonical_id"]:
            if before is not None:
                return before
            group = self._store.new_group(f"group_{self._store.fresh_suffix()}")
            group.type = "external"
            return group
        known = self._store.groups.get(data["canonical_id"])
        if known is None:
            raise InvalidRequestError("invalid group ID given in 'canonical_id'")
        if known.type != "external":
            raise InvalidRequestError("alias can't be set on an internal group")
        return known

    def _made(self, group: Group, mount: MountEntry, name: str, before: Group | None) -> Alias:
        alias = self._store.new_group_alias(group, mount, self._mounts.path_of(mount), name)
        if before is not None:
            alias.id = before.alias.id
            alias.creation_time.CopyFrom(before.alias.creation_time)
        return alias

    async def _set(self, group: Group, alias: Alias | None) -> None:
        """Hold ``changing``. Raises StorageError."""
        changed = Group.FromString(group.SerializeToString())
        if alias is None:
            changed.ClearField("alias")
        else:
            changed.alias.CopyFrom(alias)
        await self._store.save_group(changed)
