"""Roles, secret ids and their indexes in storage.

What lives here: reading and writing of AppRole's entries in an order that a crash may cut anywhere.
What never does: a login decision, JSON shapes.
Invariants: an accessor is durable before its secret id and goes before it, so a secret id without
accessor is a dead one; whoever changes a secret id holds its lock; a role that is being deleted
gives no more logins.
Source: ``docs/formats/records.md``.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from zvault.barrier.view import View
from zvault.base.ids import new_uuid
from zvault.engine.backends.approle.roles import upgraded
from zvault.engine.errors import InternalEngineError
from zvault.engine.locks import Hold, KeyLocks
from zvault.records.approle import (
    ACCESSOR_LOCAL_PREFIX,
    ACCESSOR_PREFIX,
    ROLE_ID_PREFIX,
    ROLE_PREFIX,
    SALT_KEY,
    SECRET_ID_LOCAL_PREFIX,
    SECRET_ID_PREFIX,
    RoleEntry,
    RoleIdIndex,
    SecretIdAccessor,
    SecretIdEntry,
    decode_accessor,
    decode_role,
    decode_role_id,
    decode_secret_id,
    encode_accessor,
    encode_role,
    encode_role_id,
    encode_secret_id,
    keyed,
    salted,
)
from zvault.storage.api import Delete, Operation, Put

_CACHED = 10_000
_CACHED_SECRET_IDS = 1_000
_CHUNK = 500
_ROLE_IDS = "role-ids"
T = TypeVar("T")


class AppRoleStore:
    """The entries of one mount."""

    def __init__(self, view: View, random_bytes: Callable[[int], bytes]) -> None:
        self._view = view
        self._random_bytes = random_bytes
        self._locks = KeyLocks()
        self._salt = ""
        self._roles: dict[str, RoleEntry] = {}
        self._secret_ids: dict[str, tuple[bytes, SecretIdEntry]] = {}
        """The record as last read and what it meant; storage is asked each time, only opening and
        decoding are saved."""
        self._accessors: dict[str, bytes] = {}
        """The same of accessors, of which only that they are there and open is asked."""
        self._folders: dict[str, tuple[RoleEntry, str]] = {}
        self._names: dict[str, str] = {}
        self._changes = 0
        """Counts what ``_forget`` was told, so that a slow read never caches what was replaced."""
        self._deleting: set[str] = set()
        self._registering: set[str] = set()

    def hold_role(self, name: str) -> Hold:
        """The lock of a role's own entry."""
        return self._locks.hold(f"role/{name.lower()}")

    def hold(self, key: str) -> Hold:
        """The lock of a secret id's storage key."""
        return self._locks.hold(key)

    async def salt(self) -> str:
        """The mount's salt, made at first use. Raises StorageError."""
        if not self._salt:
            async with self._locks.hold(SALT_KEY):
                stored = await self._view.get(SALT_KEY)
                if stored is None:
                    stored = new_uuid(self._random_bytes).encode()
                    await self._view.put(SALT_KEY, stored)
                self._salt = stored.decode()
        return self._salt

    async def role(self, name: str) -> RoleEntry | None:
        """A role by name (any case); None when absent. Raises RecordError, StorageError."""
        name = name.lower()
        found = self._roles.get(name)
        if found is None:
            changes = self._changes
            stored = await self._view.get(ROLE_PREFIX + name)
            if stored is None:
                return None
            found = upgraded(decode_role(stored))
            if changes == self._changes:
                _bounded(self._roles)[name] = found
        return found

    def is_deleting(self, name: str) -> bool:
        """The role is on its way out."""
        return name.lower() in self._deleting

    async def role_names(self) -> list[str]:
        """All role names, sorted."""
        return await self._view.list(ROLE_PREFIX)

    async def name_of(self, role_id: str) -> str | None:
        """The role that a role_id belongs to, by the index. Raises RecordError, StorageError."""
        found = self._names.get(role_id)
        if found is None:
            changes = self._changes
            stored = await self._view.get(ROLE_ID_PREFIX + salted(await self.salt(), role_id))
            if stored is None:
                return None
            found = decode_role_id(stored).name
            if changes == self._changes:
                _bounded(self._names)[role_id] = found
        return found

    async def save_role(self, name: str, role: RoleEntry, old: RoleEntry | None) -> None:
        """Index of the role_id, the role, then the old index goes. Hold the role's lock.

        Raises InternalEngineError when the role_id belongs to another role, StorageError.
        """
        name = name.lower()
        salt = await self.salt()
        async with self._locks.hold(_ROLE_IDS):
            owner = await self.name_of(role.role_id)
            if owner is not None and owner != name:
                raise InternalEngineError("1 error occurred:\n\t* role_id already in use\n\n")
            operations: list[Operation] = []
            if owner is None:
                index = Put(
                    ROLE_ID_PREFIX + salted(salt, role.role_id),
                    encode_role_id(RoleIdIndex(name)),
                )
                operations.append(index)
            operations.append(Put(ROLE_PREFIX + name, encode_role(role)))
            if old is not None and old.role_id != role.role_id:
                operations.append(Delete(ROLE_ID_PREFIX + salted(salt, old.role_id)))
            self._forget(name, role, old)
            try:
                await self._view.apply(operations)
            finally:
                self._forget(name, role, old)

    def _forget(self, name: str, *roles: RoleEntry | None) -> None:
        self._changes += 1
        self._roles.pop(name, None)
        self._folders.pop(name, None)
        for role in roles:
            if role is not None:
                self._names.pop(role.role_id, None)

    async def delete_role(self, name: str, role: RoleEntry) -> None:
        """Its secret ids, its index, then itself. Hold the role's lock. Raises StorageError."""
        name = name.lower()
        self._deleting.add(name)
        try:
            folder = role.secret_id_folder(name)
            for key_name in await self._view.list(folder):
                async with self.hold(folder + key_name):
                    entry = await self.secret_id(folder + key_name)
                    if entry is not None:
                        await self.delete_secret_id(role.accessor_prefix, folder + key_name, entry)
            index = Delete(ROLE_ID_PREFIX + salted(await self.salt(), role.role_id))
            self._forget(name, role)
            await self._view.apply([index, Delete(ROLE_PREFIX + name)])
        finally:
            self._forget(name, role)
            self._deleting.discard(name)

    async def secret_id(self, key: str) -> SecretIdEntry | None:
        """A secret id by storage key. Raises RecordError, StorageError."""
        record = await self._view.record(key)
        if record is None:
            return None
        known = self._secret_ids.get(key)
        if known is not None and known[0] == record:
            return known[1]
        entry = decode_secret_id(self._view.open(key, record))
        _bounded(self._secret_ids, _CACHED_SECRET_IDS)[key] = record, entry
        return entry

    def secret_id_key(self, name: str, role: RoleEntry, secret_id: str) -> str:
        """The storage key of one secret id of a role."""
        known = self._folders.get(name)
        if known is None or known[0] is not role:
            known = role, role.secret_id_folder(name)
            _bounded(self._folders)[name] = known
        return known[1] + keyed(role.hmac_key, secret_id)

    async def secret_id_keys(self, role_name: str, role: RoleEntry) -> list[str]:
        """Storage keys of all secret ids of a role."""
        folder = role.secret_id_folder(role_name)
        return [folder + name for name in await self._view.list(folder)]

    async def has_accessor(self, prefix: str, accessor: str) -> bool:
        """Whether the accessor's index entry is there."""
        key = await self.accessor_key(prefix, accessor)
        record = await self._view.record(key)
        if record is None:
            return False
        if self._accessors.get(key) != record:
            self._view.open(key, record)
            _bounded(self._accessors, _CACHED_SECRET_IDS)[key] = record
        return True

    async def hmac_of_accessor(self, prefix: str, accessor: str) -> str | None:
        """The name of the secret id that an accessor stands for."""
        stored = await self._view.get(await self.accessor_key(prefix, accessor))
        return None if stored is None else decode_accessor(stored).secret_id_hmac

    async def register(self, prefix: str, key: str, entry: SecretIdEntry) -> None:
        """Accessor, then secret id; durable on return. Hold the key's lock."""
        accessor_key = await self.accessor_key(prefix, entry.secret_id_accessor)
        accessor = encode_accessor(SecretIdAccessor(key.rpartition("/")[2]))
        self._registering.add(accessor_key)
        try:
            await self._view.apply([Put(accessor_key, accessor), Put(key, encode_secret_id(entry))])
        finally:
            self._registering.discard(accessor_key)

    async def update_secret_id(self, key: str, entry: SecretIdEntry) -> None:
        """Rewrite one; durable on return. Hold the key's lock."""
        await self._view.put(key, encode_secret_id(entry))

    async def delete_secret_id(self, prefix: str, key: str, entry: SecretIdEntry) -> None:
        """Accessor, then secret id; durable on return. Hold the key's lock."""
        accessor_key = await self.accessor_key(prefix, entry.secret_id_accessor)
        await self._view.apply([Delete(accessor_key), Delete(key)])

    async def drop(self, key: str) -> None:
        """Remove a secret id whose accessor is gone already. Hold the key's lock."""
        await self._view.delete(key)

    async def all_secret_ids(self) -> AsyncIterator[tuple[str, str]]:
        """(accessor prefix, storage key) of every secret id of the mount."""
        for prefix, accessors in (
            (SECRET_ID_PREFIX, ACCESSOR_PREFIX),
            (SECRET_ID_LOCAL_PREFIX, ACCESSOR_LOCAL_PREFIX),
        ):
            for folder in await self._view.list(prefix):
                for name in await self._view.list(prefix + folder):
                    yield accessors, prefix + folder + name
                # A big folder must not keep other requests waiting.
                await asyncio.sleep(0)

    async def accessor_key(self, prefix: str, accessor: str) -> str:
        """The storage key of an accessor's index entry."""
        return prefix + salted(self._salt or await self.salt(), accessor)

    async def accessor_keys(self) -> set[str]:
        """Storage keys of all accessor entries but those of registrations under way."""
        found: set[str] = set()
        for prefix in (ACCESSOR_PREFIX, ACCESSOR_LOCAL_PREFIX):
            found.update(prefix + name for name in await self._view.list(prefix))
        return found - self._registering

    async def drop_accessors(self, keys: list[str]) -> None:
        """Remove accessor entries."""
        for start in range(0, len(keys), _CHUNK):
            await self._view.apply([Delete(key) for key in keys[start : start + _CHUNK]])


def _bounded(cache: dict[str, T], limit: int = _CACHED) -> dict[str, T]:
    """Forget all once it is full: what is used comes back."""
    if len(cache) >= limit:
        cache.clear()
    return cache
