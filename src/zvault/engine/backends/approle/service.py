"""Roles: written, read, removed, and their single fields.

What lives here: read-modify-write of roles under their lock. What never does: what a field may be
(``approle_roles``), storage order (``approle_store``).
Source: ``docs/api/approle.md``.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from zvault.base.ids import new_uuid
from zvault.engine.api import MountContext, Operation, Response
from zvault.engine.backends.approle.fields import RoleField
from zvault.engine.backends.approle.roles import changed_role, check_role, role_data
from zvault.engine.backends.approle.store import AppRoleStore
from zvault.engine.backends.framework import FieldData
from zvault.engine.errors import InvalidRequestError, NotFoundInEngineError
from zvault.records.approle import RoleEntry

_NO_ROLE_ID = "invalid role_id supplied, or failed to generate a role_id"
OfRole = Callable[[str, FieldData], Awaitable[Response | None]]


class Roles:
    """The roles of one mount."""

    def __init__(self, context: MountContext, store: AppRoleStore) -> None:
        self._context = context
        self._store = store

    async def read(self, name: str, data: FieldData) -> Response | None:
        """What the role says; None when absent."""
        role = await self._store.role(name)
        return None if role is None else Response(data=role_data(role))

    async def write(self, name: str, data: FieldData) -> Response | None:
        """Create or change; an answer only when there is something to warn about."""
        async with self._store.hold_role(name):
            old = await self._store.role(name)
            role, warnings = changed_role(
                old or self._new_role(),
                data,
                is_new=old is None,
                mount_max_ns=self._context.max_ttl_ns(),
            )
            if "role_id" in data:
                if not data["role_id"]:
                    raise InvalidRequestError(_NO_ROLE_ID)
                role = replace(role, role_id=data["role_id"])
            await self._store.save_role(name, role, old)
        return Response(warnings=warnings) if warnings else None

    def _new_role(self) -> RoleEntry:
        random_bytes = self._context.random_bytes
        return RoleEntry(role_id=new_uuid(random_bytes), hmac_key=new_uuid(random_bytes))

    async def delete(self, name: str, data: FieldData) -> None:
        """Remove it with its secret ids; absent is fine."""
        async with self._store.hold_role(name):
            role = await self._store.role(name)
            if role is not None:
                await self._store.delete_role(name, role)

    async def read_role_id(self, name: str, data: FieldData) -> Response | None:
        """The role_id."""
        role = await self._store.role(name)
        return None if role is None else Response(data={"role_id": role.role_id})

    async def write_role_id(self, name: str, data: FieldData) -> None:
        """Choose the role_id."""

        def chosen(role: RoleEntry) -> RoleEntry:
            if not data["role_id"]:
                raise InvalidRequestError("missing role_id")
            return replace(role, role_id=data["role_id"])

        await self._change(name, chosen)

    async def _change(self, name: str, change: Callable[[RoleEntry], RoleEntry]) -> None:
        async with self._store.hold_role(name):
            old = await self._store.role(name)
            if old is None:
                raise NotFoundInEngineError("1 error occurred:\n\t* unsupported path\n\n")
            await self._store.save_role(name, change(old), old)

    def of_field(self, field: RoleField) -> dict[Operation, OfRole]:
        """The operations of a single field's path."""

        async def read(name: str, data: FieldData) -> Response | None:
            role = await self._store.role(name)
            if role is None:
                return None
            warnings = [field.warning] if field.warning else []
            return Response(data=field.shown(role), warnings=warnings)

        async def write(name: str, data: FieldData) -> Response | None:
            return await self._write_field(name, field, data)

        async def delete(name: str, data: FieldData) -> None:
            await self._reset_field(name, field)

        if not field.fields:
            return {Operation.READ: read}
        return {Operation.READ: read, Operation.UPDATE: write, Operation.DELETE: delete}

    async def _write_field(self, name: str, field: RoleField, data: FieldData) -> Response | None:
        given = data.only(field.fields)
        present = [key for key in field.fields if key in given]
        max_ns = self._context.max_ttl_ns()
        warnings: list[str] = []
        if not present and field.missing and await self._store.role(name) is not None:
            raise InvalidRequestError(f"missing {field.missing}")

        def change(role: RoleEntry) -> RoleEntry:
            changed, found = changed_role(role, given, is_new=False, mount_max_ns=max_ns)
            warnings.extend(found)
            return changed

        await self._change(name, change)
        return Response(warnings=warnings) if warnings else None

    async def _reset_field(self, name: str, field: RoleField) -> None:
        reset = field.reset
        if reset is None:
            return
        async with self._store.hold_role(name):
            old = await self._store.role(name)
            if old is not None:
                role = reset(old)
                check_role(role, self._context.max_ttl_ns())
                await self._store.save_role(name, role, old)
