"""The keys of one mount in storage.

What lives here: reading, caching and writing of policies with their archives, in an order that a
crash may cut anywhere. What never does: what a request may do with a key.
Invariants: the archive is written before the policy that counts on it; a key is changed only under
its lock; what a policy holds are exactly the versions from the minimum for decryption on; the
cache lives and dies with the backend.
Source: ``docs/formats/records.md``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from zvault.barrier.view import View
from zvault.engine.backends.transit.versions import Key
from zvault.engine.backends.transit.words import internal
from zvault.engine.locks import Hold, KeyLocks
from zvault.records.transit import (
    ARCHIVE_PREFIX,
    POLICY_PREFIX,
    KeyVersion,
    TransitPolicy,
    decode_archive,
    decode_policy,
    encode_archive,
    encode_policy,
)
from zvault.storage.api import Delete, Operation, Put

DEFAULT_CACHED = 10_000
_NONE = KeyVersion()
"""What an archive holds for version 0, which no key has, and for a version that was lost."""


@dataclass(frozen=True, slots=True)
class Archive:
    """All versions of a key that were not trimmed; ``first`` is the number at index 0."""

    versions: tuple[KeyVersion, ...]
    first: int = 0

    @classmethod
    def of(cls, policy: TransitPolicy, versions: tuple[KeyVersion, ...]) -> "Archive":
        """The stored versions, numbered by where those that the policy holds are among them.

        A crash between the two writes of ``save`` leaves an archive that is trimmed, or longer,
        or another key's, beside a policy that does not say so.
        """
        for number in sorted(policy.keys, reverse=True):
            if policy.keys[number] in versions:
                return cls(versions, number - versions.index(policy.keys[number]))
        return cls(() if policy.keys else versions, policy.archive_min_version)

    def at(self, number: int) -> KeyVersion | None:
        """A version by number; None for one that is not there."""
        index = number - self.first
        if number < 1 or not 0 <= index < len(self.versions):
            return None
        found = self.versions[index]
        return None if found == _NONE else found

    def with_versions(self, policy: TransitPolicy) -> "Archive":
        """With what the policy holds, trimmed to what it keeps available."""
        kept = list(self.versions)
        for number, version in policy.keys.items():
            index = number - self.first
            if index >= 0:
                kept.extend([_NONE] * (index + 1 - len(kept)))
                kept[index] = version
        first = max(self.first, policy.min_available_version)
        return Archive(tuple(kept[first - self.first :]), first)


class TransitStore:
    """Policies and archives below one mount's view."""

    def __init__(self, view: View, store_family: str) -> None:
        self._view = view
        self._family = store_family
        self._locks = KeyLocks()
        self._keys: dict[str, Key] = {}
        self._changes = 0
        """Counts writes, so that a slow read never caches what was replaced."""
        self.cached_at_most = DEFAULT_CACHED
        self.on_change: Callable[[str, TransitPolicy | None], None] = lambda name, policy: None
        """Told of every key written (its policy) or removed (None)."""

    def hold(self, name: str) -> Hold:
        """The lock of a key."""
        return self._locks.hold(name)

    async def names(self) -> list[str]:
        """Names of all keys, sorted; folders end in ``/``."""
        return await self._view.list(POLICY_PREFIX)

    async def key(self, name: str) -> Key | None:
        """A key by name. Raises RecordError, StorageError, InvalidRequestError."""
        found = self._keys.get(name)
        if found is None:
            changes = self._changes
            stored = await self._view.get(POLICY_PREFIX + name)
            if stored is None:
                return None
            found = self._made(decode_policy(stored))
            if changes == self._changes:
                self._remember(name, found)
        return found

    def _made(self, policy: TransitPolicy) -> Key:
        if policy.version_template or policy.storage_prefix:
            raise internal("the key is not one of transit's")
        return Key(policy, self._family)

    def _remember(self, name: str, key: Key) -> None:
        if len(self._keys) >= self.cached_at_most:
            self._keys.clear()
        self._keys[name] = key

    async def archive(self, policy: TransitPolicy) -> Archive:
        """All versions there are of a key. Raises RecordError, StorageError."""
        stored = await self._view.get(ARCHIVE_PREFIX + policy.name)
        versions = () if stored is None else decode_archive(stored)
        return Archive.of(policy, versions)

    async def save(self, policy: TransitPolicy, archive: Archive | None = None) -> Key:
        """Write a key, its archive first; durable on return. Hold the key's lock.

        ``archive`` None: the one in storage. Raises RecordError, StorageError.
        """
        if archive is None:
            archive = await self.archive(policy)
        archive = archive.with_versions(policy)
        oldest = max(policy.min_decryption_version, 1)
        keys = {}
        for number in range(max(oldest, archive.first), policy.latest_version + 1):
            version = archive.at(number)
            if version is None:
                raise internal(f"version {number} of the key is in no archive")
            keys[number] = version
        policy = replace(
            policy,
            keys=keys,
            archive_version=policy.latest_version,
            archive_min_version=archive.first,
        )
        if self._family == "openbao" and not policy.soft_deleted:
            policy = replace(policy, extra={**policy.extra, "soft_deleted": False})
        key = self._made(policy)
        operations: list[Operation] = [
            Put(ARCHIVE_PREFIX + policy.name, encode_archive(archive.versions)),
            Put(POLICY_PREFIX + policy.name, encode_policy(policy)),
        ]
        await self._write(policy.name, operations)
        self._remember(policy.name, key)
        self.on_change(policy.name, policy)
        return key

    async def delete(self, name: str) -> None:
        """Remove a key and all its versions. Hold the key's lock. Raises StorageError."""
        await self._write(name, [Delete(POLICY_PREFIX + name), Delete(ARCHIVE_PREFIX + name)])
        self.on_change(name, None)

    async def _write(self, name: str, operations: list[Operation]) -> None:
        self._forget(name)
        try:
            await self._view.apply(operations)
        finally:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._changes += 1
        self._keys.pop(name, None)

    def shrink(self, cached_at_most: int) -> None:
        """Bound the cache anew and empty it."""
        self.cached_at_most = cached_at_most
        self._keys.clear()
