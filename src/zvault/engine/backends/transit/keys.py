"""Keys as objects: made, shown, configured, rotated, trimmed, removed.

What lives here: everything below ``keys/`` but imports. What never does: storage order
(``store``), key material (``material``).
Invariants: every change happens under the key's lock; the minimum versions never pass each other;
a key is removed only when it says that it may be.
Source: ``docs/api/transit.md``.
"""

import asyncio
from dataclasses import replace
from typing import Any

from zvault.base.gobase64 import GoBase64Error, decode
from zvault.base.gotime import SECOND_NS
from zvault.engine.api import MountContext, Request, Response
from zvault.engine.backends.framework import FieldData
from zvault.engine.backends.transit import types
from zvault.engine.backends.transit.answers import key_data
from zvault.engine.backends.transit.material import (
    MAX_HMAC_BYTES,
    MIN_HMAC_BYTES,
    generated,
    is_slow,
)
from zvault.engine.backends.transit.store import Archive, TransitStore
from zvault.engine.backends.transit.types import Family, KeyType
from zvault.engine.backends.transit.versions import Key
from zvault.engine.backends.transit.words import FailedError, MistakeError, internal
from zvault.engine.errors import InvalidRequestError
from zvault.records.transit import (
    CONVERGENT_PER_KEY,
    CONVERGENT_VERSION,
    KDF_HKDF,
    KeyVersion,
    TransitPolicy,
)

HOUR_NS = 3600 * SECOND_NS
SHORT_PERIOD = "auto rotate period must be 0 to disable or at least an hour"


class Keys:
    """The keys of one mount."""

    def __init__(self, context: MountContext, store: TransitStore) -> None:
        self._context = context
        self._store = store

    async def _generated(self, kind: KeyType, key_size: int) -> KeyVersion:
        now_ns, random_bytes = self._context.clock.now_ns(), self._context.random_bytes
        if is_slow(kind):
            return await asyncio.to_thread(generated, kind, key_size, now_ns, random_bytes)
        return generated(kind, key_size, now_ns, random_bytes)

    async def make(self, policy: TransitPolicy, kind: KeyType) -> Key:
        """Version 1 of a new key; hold its lock. Raises EngineError."""
        check_derivation(policy, kind)
        if kind.family is Family.HMAC and not (MIN_HMAC_BYTES <= policy.key_size <= MAX_HMAC_BYTES):
            raise internal("invalid key size for HMAC key, must be between 32 and 512 bytes")
        first = await self._generated(kind, policy.key_size)
        if policy.convergent_encryption:
            first = replace(first, convergent_version=CONVERGENT_VERSION)
        policy = replace(
            policy,
            type=kind.number_in(self._context.family),
            keys={1: first},
            kdf=KDF_HKDF if policy.derived else 0,
            convergent_version=CONVERGENT_PER_KEY if policy.convergent_encryption else 0,
            latest_version=1,
            min_decryption_version=1,
        )
        return await self._store.save(policy, Archive((KeyVersion(),)))

    async def create(self, request: Request, data: FieldData) -> Response:
        """A new key; one that is there stays as it is."""
        name = data["name"]
        if data["convergent_encryption"] and not data["derived"]:
            raise InvalidRequestError("convergent encryption requires derivation to be enabled")
        period_ns = data["auto_rotate_period"]
        if 0 < period_ns < HOUR_NS:
            raise InvalidRequestError(SHORT_PERIOD)
        kind = types.named(data["type"], self._context.family)
        if kind is None:
            raise InvalidRequestError(f"unknown key type {data['type']}")
        size = data["key_size"]
        if size and kind.family is not Family.HMAC:
            raise InvalidRequestError(f"key_size is not valid for algorithm {kind.name}")
        if size and not MIN_HMAC_BYTES <= size <= MAX_HMAC_BYTES:
            raise InvalidRequestError(f"invalid key_size {size}")
        async with self._store.hold(name):
            key = await self._store.key(name)
            warnings = [] if key is None else [f"key {name} already existed"]
            if key is None:
                policy = TransitPolicy(
                    name=name,
                    key_size=size,
                    derived=data["derived"],
                    convergent_encryption=data["convergent_encryption"],
                    exportable=data["exportable"],
                    allow_plaintext_backup=data["allow_plaintext_backup"],
                    auto_rotate_period_ns=period_ns,
                )
                key = await self.make(policy, kind)
        return _shown(key, warnings)

    async def read(self, request: Request, data: FieldData) -> Response | None:
        """What there is to see of a key; None when absent."""
        context = _context_of(data)
        key = await self._store.key(data["name"])
        return None if key is None else _shown(key, context=context)

    async def list(self, request: Request, data: FieldData) -> Response | None:
        """All names."""
        names = await self._store.names()
        return Response(data={"keys": names}) if names else None

    async def delete(self, request: Request, data: FieldData) -> None:
        """Remove a key that allows it."""
        name = data["name"]
        async with self._store.hold(name):
            key = await self._store.key(name)
            if key is None:
                problem = "could not delete key; not found"
            elif not key.policy.deletion_allowed:
                problem = "deletion is not allowed for this key"
            else:
                await self._store.delete(name)
                return
        raise InvalidRequestError(f"error deleting policy {name}: {problem}")

    async def rotate(self, request: Request, data: FieldData) -> Response:
        """Add a version."""
        name = data["name"]
        async with self._store.hold(name):
            key = await self._store.key(name)
            if key is None:
                raise InvalidRequestError("key not found")
            key = await self.rotated(key)
        return _shown(key)

    async def rotated(self, key: Key) -> Key:
        """The key with one version more; hold its lock. Raises EngineError."""
        policy = key.policy
        if policy.imported and not policy.allow_imported_key_rotation:
            raise internal(f"imported key {policy.name} does not allow rotation within Vault")
        version = await self._generated(key.kind, policy.key_size)
        if policy.convergent_encryption and policy.convergent_version == CONVERGENT_PER_KEY:
            version = replace(version, convergent_version=CONVERGENT_VERSION)
        latest = policy.latest_version + 1
        changed = replace(
            policy, keys={**policy.keys, latest: version}, latest_version=latest, imported=False
        )
        return await self._store.save(changed)

    async def configure(self, request: Request, data: FieldData) -> Response:
        """Minimum versions and permissions of a key."""
        name = data["name"]
        async with self._store.hold(name):
            key = await self._store.key(name)
            if key is None:
                raise InvalidRequestError(f"no existing key named {name} could be found")
            warnings: list[str] = []
            changed = configured(key.policy, data, warnings)
            if changed != key.policy:
                key = await self._store.save(changed)
        return _shown(key, warnings)

    async def trim(self, request: Request, data: FieldData) -> Response:
        """Remove old versions for ever."""
        name = data["name"]
        async with self._store.hold(name):
            key = await self._store.key(name)
            if key is None:
                raise InvalidRequestError("invalid key name")
            if "min_available_version" not in data:
                raise InvalidRequestError("missing min_available_version")
            wanted = data["min_available_version"]
            check_trim(key.policy, wanted)
            key = await self._store.save(replace(key.policy, min_available_version=wanted))
        return _shown(key)


def _shown(key: Key, warnings: list[str] | None = None, context: bytes = b"") -> Response:
    try:
        return Response(data=key_data(key, context), warnings=warnings or [])
    except (MistakeError, FailedError) as error:
        raise internal(str(error)) from None


def _context_of(data: FieldData) -> bytes:
    try:
        return decode(data["context"])
    except GoBase64Error:
        raise InvalidRequestError("failed to base64-decode context") from None


def check_derivation(policy: TransitPolicy, kind: KeyType) -> None:
    """Raises InternalEngineError where a key of that kind cannot be derived."""
    if policy.derived and not kind.derives:
        raise internal(
            f"key derivation and convergent encryption not supported for keys of type {kind.name}"
        )
    if policy.convergent_encryption and kind.family is not Family.AEAD:
        raise internal(f"convergent encryption not supported for keys of type {kind.name}")


def configured(policy: TransitPolicy, data: FieldData, warnings: list[str]) -> TransitPolicy:
    """The policy with what ``data`` sets, checked. Raises InvalidRequestError."""
    changes: dict[str, Any] = {}
    for field, words in (
        ("min_decryption_version", "min decryption version"),
        ("min_encryption_version", "min encryption version"),
    ):
        if field in data:
            changes[field] = _minimum(data[field], policy.latest_version, words)
    if changes.get("min_decryption_version") == 0:
        changes["min_decryption_version"] = 1
        warnings.append("since Vault 0.3, transit key numbering starts at 1; forcing minimum to 1")
    changed = replace(policy, **changes)
    if 0 < changed.min_encryption_version < changed.min_decryption_version:
        raise InvalidRequestError(
            "cannot set min encryption/decryption values; min encryption version of "
            f"{changed.min_encryption_version} must be greater than or equal to min decryption "
            f"version of {changed.min_decryption_version}"
        )
    if changed.min_decryption_version < changed.min_available_version:
        raise InvalidRequestError(
            "min decryption version should not be less then min available version"
        )
    if "deletion_allowed" in data:
        changed = replace(changed, deletion_allowed=data["deletion_allowed"])
    # What was once allowed to leave the store may have left it.
    if data["exportable"]:
        changed = replace(changed, exportable=True)
    if data["allow_plaintext_backup"]:
        changed = replace(changed, allow_plaintext_backup=True)
    if "auto_rotate_period" in data:
        period_ns = data["auto_rotate_period"]
        if 0 < period_ns < HOUR_NS:
            raise InvalidRequestError(SHORT_PERIOD)
        changed = replace(changed, auto_rotate_period_ns=period_ns)
    return changed


def _minimum(wanted: int, latest: int, words: str) -> int:
    if wanted < 0:
        raise InvalidRequestError(f"{words} cannot be negative")
    if wanted > latest:
        raise InvalidRequestError(f"cannot set {words} of {wanted}, latest key version is {latest}")
    return wanted


def check_trim(policy: TransitPolicy, wanted: int) -> None:
    """Raises InvalidRequestError where versions that are in use would go."""
    problem = ""
    if wanted < policy.min_available_version:
        problem = "minimum available version cannot be decremented"
    elif not policy.min_encryption_version:
        problem = (
            "minimum available version cannot be set when minimum encryption version is not set"
        )
    elif not policy.min_decryption_version:
        problem = (
            "minimum available version cannot be set when minimum decryption version is not set"
        )
    elif wanted > policy.min_encryption_version:
        problem = "minimum available version cannot be greater than minmum encryption version"
    elif wanted > policy.min_decryption_version:
        problem = "minimum available version cannot be greater than minimum decryption version"
    if problem:
        raise InvalidRequestError(problem)
