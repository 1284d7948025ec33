"""``wrapping_key``, ``import`` and ``import_version``: keys that were made elsewhere.

What lives here: unwrapping what a caller wrapped for this mount. What never does: proof that the
material is of its kind (``material``).
Invariant: imported private material travels only under an AES key that itself is under the mount's
RSA key, which is made once and never leaves.
Source: ``docs/api/transit.md``.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap_with_padding

from zvault.base.gobase64 import GoBase64Error, decode
from zvault.crypto import rsa
from zvault.crypto.pem import public_pem
from zvault.engine.api import MountContext, Request, Response
from zvault.engine.backends.framework import FieldData
from zvault.engine.backends.transit import types
from zvault.engine.backends.transit.keys import HOUR_NS, SHORT_PERIOD, Keys, check_derivation
from zvault.engine.backends.transit.material import (
    imported,
    private_parts,
    public_version,
)
from zvault.engine.backends.transit.store import Archive, TransitStore
from zvault.engine.backends.transit.types import RSA_4096, Family, KeyType
from zvault.engine.backends.transit.versions import Key
from zvault.engine.backends.transit.words import FailedError, internal
from zvault.engine.errors import InvalidRequestError
from zvault.records.transit import (
    CONVERGENT_PER_KEY,
    CONVERGENT_VERSION,
    KDF_HKDF,
    WRAPPING_KEY_NAME,
    KeyVersion,
    TransitPolicy,
)

_WRAPPED_KEY_BYTES = 512
_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "SHA1": hashes.SHA1,
    "SHA224": hashes.SHA224,
    "SHA256": hashes.SHA256,
    "SHA384": hashes.SHA384,
    "SHA512": hashes.SHA512,
}


class Importing:
    """Ways in for keys of one mount."""

    def __init__(self, context: MountContext, store: TransitStore, keys: Keys) -> None:
        self._context = context
        self._store = store
        self._keys = keys

    async def _wrapping_key(self) -> Key:
        async with self._store.hold(WRAPPING_KEY_NAME):
            key = await self._store.key(WRAPPING_KEY_NAME)
            if key is None:
                policy = TransitPolicy(name=WRAPPING_KEY_NAME)
                key = await self._keys.make(policy, RSA_4096)
        return key

    async def read_wrapping_key(self, request: Request, data: FieldData) -> Response:
        """The public key to wrap with; made at first use."""
        key = await self._wrapping_key()
        version = key.version(key.policy.latest_version)
        return Response(data={"public_key": public_pem(version.rsa_public())})

    async def create(self, request: Request, data: FieldData) -> None:
        """A new key of imported material."""
        name = data["name"]
        kind = types.named(data["type"], self._context.family)
        if kind is None:
            raise InvalidRequestError(f"unknown key type: {data['type']}")
        policy = _new_policy(name, data, kind, self._context.family)
        async with self._store.hold(name):
            if await self._store.key(name) is not None:
                raise internal(
                    "the import path cannot be used with an existing key; use import-version to "
                    "rotate an existing imported key"
                )
            version = await self._version(kind, data)
            if policy.convergent_encryption:
                version = replace(version, convergent_version=CONVERGENT_VERSION)
            if kind.family is Family.HMAC and version.key is not None:
                policy = replace(policy, key_size=len(version.key_bytes() or b""))
            first = replace(policy, keys={1: version})
            await self._store.save(first, Archive((KeyVersion(),)))

    async def add_version(self, request: Request, data: FieldData) -> None:
        """A version of imported material, or the private half of one that has none."""
        name = data["name"]
        async with self._store.hold(name):
            key = await self._store.key(name)
            if key is None:
                raise internal(
                    f"no key found with name {name}; to import a new key, use the import/ endpoint"
                )
            policy = key.policy
            if not policy.imported:
                raise internal("the import_version endpoint can only be used with an imported key")
            if "version" in data:
                await self._complete(key, data)
                return
            version = await self._version(key.kind, data)
            if policy.convergent_encryption:
                version = replace(version, convergent_version=CONVERGENT_VERSION)
            latest = policy.latest_version + 1
            keys = {**policy.keys, latest: version}
            await self._store.save(replace(policy, keys=keys, latest_version=latest))

    async def _complete(self, key: Key, data: FieldData) -> None:
        number = data["version"]
        entry = key.policy.keys.get(number)
        if entry is None:
            raise internal("no such key version")
        if not key.version(number).is_public_only:
            raise internal("private key imported, key version cannot be updated")
        try:
            parts = private_parts(key.kind, await self._unwrapped(data))
        except FailedError as failure:
            raise internal(f"error importing key: {failure}") from None
        fits = all(
            parts.get(name, known) == known
            for name, known in (
                ("public_key", entry.public_key),
                ("ec_x", entry.ec_x),
                ("rsa_public_key", entry.rsa_public_key),
            )
        )
        if not fits:
            raise internal("error importing key: the private key does not fit the public key")
        keys = {**key.policy.keys, number: replace(entry, **parts)}
        await self._store.save(replace(key.policy, keys=keys))

    async def _version(self, kind: KeyType, data: FieldData) -> KeyVersion:
        now_ns, random_bytes = self._context.clock.now_ns(), self._context.random_bytes
        try:
            if data["ciphertext"]:
                content = await self._unwrapped(data)
                return await asyncio.to_thread(imported, kind, content, now_ns, random_bytes)
            if not kind.signs:
                raise internal("provided type does not support public_key import")
            return public_version(kind, data["public_key"], now_ns, random_bytes)
        except FailedError as failure:
            raise internal(f"error importing key: {failure}") from None

    async def _unwrapped(self, data: FieldData) -> bytes:
        digest = _HASHES.get(data["hash_function"].upper())
        if digest is None:
            raise InvalidRequestError(f"unknown hash function: {data['hash_function']}")
        try:
            content = decode(data["ciphertext"])
        except GoBase64Error as error:
            raise internal(str(error)) from None
        if len(content) < _WRAPPED_KEY_BYTES:
            raise internal("provided ciphertext is too short")
        wrapping = await self._wrapping_key()
        private = wrapping.version(wrapping.policy.latest_version).rsa_private()
        try:
            key = rsa.decrypt(private, content[:_WRAPPED_KEY_BYTES], digest())
        except ValueError:
            raise internal("crypto/rsa: decryption error") from None
        try:
            return aes_key_unwrap_with_padding(key, content[_WRAPPED_KEY_BYTES:])
        except (InvalidUnwrap, ValueError):
            raise internal("kwp: the wrapped key does not open") from None


def _new_policy(name: str, data: FieldData, kind: KeyType, store_family: str) -> TransitPolicy:
    period_ns = data["auto_rotate_period"]
    if 0 < period_ns < HOUR_NS:
        raise InvalidRequestError(SHORT_PERIOD)
    if period_ns and not data["allow_rotation"]:
        raise internal("allow_rotation must be set to true if auto-rotation is enabled")
    policy = TransitPolicy(
        name=name,
        type=kind.number_in(store_family),
        derived=data["derived"],
        kdf=KDF_HKDF if data["derived"] else 0,
        exportable=data["exportable"],
        allow_plaintext_backup=data["allow_plaintext_backup"],
        auto_rotate_period_ns=period_ns,
        imported=True,
        allow_imported_key_rotation=data["allow_rotation"],
        latest_version=1,
        min_decryption_version=1,
        convergent_version=CONVERGENT_PER_KEY if data["convergent_encryption"] else 0,
        convergent_encryption=data["convergent_encryption"],
    )
    check_derivation(policy, kind)
    return policy
