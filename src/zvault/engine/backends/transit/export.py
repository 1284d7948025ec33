"""``export``, ``backup`` and ``restore``: keys that leave the store and come back.

What lives here: the only ways out for key material. Invariants: private material leaves only a key
that is exportable, a whole backup only one that also allows plaintext backups; nothing is restored
that could not be used, and no key is replaced unless that is asked for.
Source: ``docs/api/transit.md``.
"""

import asyncio
import base64
import re
from dataclasses import replace
from typing import Any

from zvault.base.gobase64 import GoBase64Error, decode
from zvault.base.gotime import format_time
from zvault.crypto import ecdsa, pem, rsa
from zvault.engine.api import MountContext, Request, Response
from zvault.engine.backends.framework import FieldData
from zvault.engine.backends.transit.answers import public_text
from zvault.engine.backends.transit.keys import HOUR_NS
from zvault.engine.backends.transit.material import MAX_HMAC_BYTES, MIN_HMAC_BYTES
from zvault.engine.backends.transit.signatures import derived_public_key, hmac_key
from zvault.engine.backends.transit.store import Archive, TransitStore
from zvault.engine.backends.transit.types import Family
from zvault.engine.backends.transit.versions import Key, Version, rsa_numbers
from zvault.engine.backends.transit.words import FailedError, internal
from zvault.engine.errors import InvalidRequestError
from zvault.records.errors import RecordError
from zvault.records.transit import TransitPolicy, decode_backup, encode_backup

_NAME = re.compile(r"(?a:\w(?:[\w.-]*\w)?)")
_KINDS = ("encryption-key", "signing-key", "hmac-key", "public-key", "certificate-chain")
_PUBLIC = ("public-key", "certificate-chain")
_VERSION = re.compile(r"[+-]?\d{1,18}", re.ASCII)


class Export:
    """Ways out of, and back into, one mount."""

    def __init__(self, context: MountContext, store: TransitStore) -> None:
        self._context = context
        self._store = store

    async def export(self, request: Request, data: FieldData) -> Response | None:
        """Material of one kind, of one version or of all; None when the key is absent."""
        wanted = data["type"]
        if wanted not in _KINDS:
            raise InvalidRequestError(f"invalid export type: {wanted}")
        key = await self._store.key(data["name"])
        if key is None:
            return None
        _check_allowed(key, wanted)
        versions = _wanted_versions(key, data["version"].removeprefix("/"))
        try:
            keys = {str(v.number): exported(v, wanted) for v in versions}
        except FailedError as failure:
            raise internal(str(failure)) from None
        name = key.policy.name
        return Response(data={"name": name, "type": key.kind.name, "keys": keys})

    async def backup(self, request: Request, data: FieldData) -> Response:
        """The whole key, in clear."""
        name = data["name"]
        async with self._store.hold(name):
            key = await self._store.key(name)
            if key is None:
                raise internal(f'key "{name}" not found')
            if not key.policy.exportable:
                raise internal("exporting is disallowed on the policy")
            if not key.policy.allow_plaintext_backup:
                raise internal("plaintext backup is disallowed on the policy")
            key = await self._store.save(replace(key.policy, backup_info=self._info(key.policy)))
            archive = await self._store.archive(key.policy)
        content = encode_backup(key.policy, archive.versions)
        return Response(data={"backup": base64.b64encode(content).decode()})

    def _info(self, policy: TransitPolicy) -> dict[str, Any]:
        now = format_time(self._context.clock.now_ns())
        return {"time": now, "version": policy.latest_version}

    async def restore(self, request: Request, data: FieldData) -> None:
        """Bring a key back, under its own or another name."""
        name = data["name"].removeprefix("/")
        if "/" in name:
            raise internal("key names cannot be paths")
        if not data["backup"]:
            raise InvalidRequestError("'backup' must be supplied")
        policy, archive = _decoded(data["backup"])
        name = name or policy.name
        if _NAME.fullmatch(name) is None:
            raise internal("the name of the key in the backup is no name of a key")
        policy = replace(policy, name=name, restore_info=self._info(policy))
        await asyncio.to_thread(_check_whole, policy, archive, self._context.family)
        async with self._store.hold(name):
            if not data["force"] and await self._store.key(name) is not None:
                raise internal(f'key "{name}" already exists')
            await self._store.save(policy, archive)


def _decoded(text: str) -> tuple[TransitPolicy, Archive]:
    try:
        policy, versions = decode_backup(decode(text))
    except (GoBase64Error, RecordError) as error:
        raise internal(str(error)) from None
    return policy, Archive(versions, policy.archive_min_version)


def _check_whole(policy: TransitPolicy, archive: Archive, store_family: str) -> None:
    """Every version is there and makes a key. Raises EngineError."""
    last = archive.first + len(archive.versions) - 1
    oldest = max(policy.min_decryption_version, archive.first, 1)
    bounds = (
        0 <= archive.first == policy.archive_min_version,
        policy.min_available_version <= archive.first,
        1 <= oldest <= policy.latest_version == last,
        0 <= policy.min_encryption_version <= policy.latest_version,
        all(0 < number <= last for number in policy.keys),
        not policy.version_template and not policy.storage_prefix,
        policy.auto_rotate_period_ns == 0 or policy.auto_rotate_period_ns >= HOUR_NS,
    )
    if not all(bounds):
        raise internal("the backup's versions do not fit together")
    keys = {n: archive.versions[n - archive.first] for n in range(oldest, last + 1)}
    key = Key(replace(policy, keys=keys), store_family)
    is_hmac = key.kind.family is Family.HMAC
    if is_hmac and not MIN_HMAC_BYTES <= policy.key_size <= MAX_HMAC_BYTES:
        raise internal("the backup's key size is none of an HMAC key")
    try:
        for number in keys:
            prove(key.version(number))
    except (FailedError, RecordError) as error:
        raise internal(f"version {number} in the backup makes no key: {error}") from None


def prove(version: Version) -> None:
    """Open everything a version of somebody else's holds. Raises FailedError, RecordError."""
    hmac_key(version)
    family = version.key.kind.family
    if family is Family.AEAD:
        version.aead()
    elif family is Family.HMAC or version.key.policy.derived:
        version.secret()
    elif family is Family.RSA:
        _prove_rsa(version)
    elif family is Family.ECDSA:
        public = ecdsa.point(version.ec_public())
        if not version.is_public_only and ecdsa.point(version.ec_private().public_key()) != public:
            raise FailedError("the private key does not fit the public key")
    else:
        raw = derived_public_key(version, b"")
        if base64.b64encode(raw).decode() != version.entry.public_key:
            raise FailedError("the private key does not fit the public key")


def _prove_rsa(version: Version) -> None:
    if version.rsa_public().key_size != version.key.kind.bits:
        raise FailedError("the key is not of its kind's size")
    if version.entry.rsa_key is not None:
        try:
            rsa.private_key(rsa_numbers(version.entry.rsa_key), checked=True)
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            raise FailedError("the key version's numbers make no key") from None


def _check_allowed(key: Key, wanted: str) -> None:
    if wanted not in _PUBLIC and not key.policy.exportable:
        raise InvalidRequestError("private key material is not exportable")
    problem = ""
    if wanted == "encryption-key" and not key.kind.encrypts:
        problem = "encryption not supported for the key"
    elif wanted == "signing-key" and not key.kind.signs:
        problem = "signing not supported for the key"
    elif wanted == "certificate-chain" and not key.kind.signs:
        problem = "certificate chain not supported for keys that do not support signing"
    if problem:
        raise InvalidRequestError(problem)


def _wanted_versions(key: Key, text: str) -> list[Version]:
    policy = key.policy
    if not text:
        return [key.version(number) for number in sorted(policy.keys)]
    if text == "latest":
        return [key.version(policy.latest_version)]
    if _VERSION.fullmatch(text) is None:
        raise InvalidRequestError("invalid key version")
    number = int(text)
    if number < policy.min_decryption_version:
        raise InvalidRequestError("version for export is below minimum decryption version")
    if number not in policy.keys:
        raise InvalidRequestError("version does not exist or cannot be found")
    return [key.version(number)]


def exported(version: Version, wanted: str) -> str:
    """One version's material as text. Raises FailedError."""
    kind = version.key.kind
    if wanted == "hmac-key":
        return base64.b64encode(hmac_key(version)).decode()
    if wanted == "certificate-chain":
        raise FailedError("selected key version does not have a certificate chain imported")
    if wanted == "public-key":
        if not kind.signs:
            raise FailedError(f"unknown key type {kind.name} for export type {wanted}")
        text = public_text(version)
        return text.strip() if kind.family is Family.ECDSA else text
    if version.is_public_only:
        raise FailedError(
            "unable to export private key, key version does not contain a private part"
        )
    if kind.family is Family.RSA:
        return pem.private_pem(version.rsa_private())
    if kind.family is Family.ECDSA:
        return pem.private_pem(version.ec_private()).strip()
    return base64.b64encode(version.secret().reveal()).decode()
