"""What a transit key looks like in an answer.

What lives here: pure functions from a key to JSON. Source: ``docs/api/transit.md``.
"""

import base64
from typing import Any

from zvault.base.gotime import SECOND_NS, format_time
from zvault.crypto.pem import public_pem
from zvault.engine.backends.transit.signatures import derived_public_key
from zvault.engine.backends.transit.types import Family
from zvault.engine.backends.transit.versions import Key, Version
from zvault.engine.userdata import Timestamp
from zvault.records.transit import KDF_COUNTER

_KDF_NAMES = {KDF_COUNTER: "hmac-sha256-counter"}


def key_data(key: Key, context: bytes = b"") -> dict[str, Any]:
    """The whole answer of reading a key. Raises MistakeError, FailedError."""
    policy, kind = key.policy, key.kind
    data: dict[str, Any] = {
        "name": policy.name,
        "type": kind.name,
        "derived": policy.derived,
        "deletion_allowed": policy.deletion_allowed,
        "min_available_version": policy.min_available_version,
        "min_decryption_version": policy.min_decryption_version,
        "min_encryption_version": policy.min_encryption_version,
        "latest_version": policy.latest_version,
        "exportable": policy.exportable,
        "allow_plaintext_backup": policy.allow_plaintext_backup,
        "supports_encryption": kind.encrypts,
        "supports_decryption": kind.encrypts,
        "supports_signing": kind.signs,
        "supports_derivation": kind.derives,
        "auto_rotate_period": policy.auto_rotate_period_ns // SECOND_NS,
        "imported_key": policy.imported,
    }
    if policy.key_size:
        data["key_size"] = policy.key_size
    if policy.imported:
        data["imported_key_allow_rotation"] = policy.allow_imported_key_rotation
    for name, info in (("backup_info", policy.backup_info), ("restore_info", policy.restore_info)):
        if isinstance(info, dict):
            stamped = {"time": Timestamp(info["time"])} if "time" in info else {}
            data[name] = {**info, **stamped}
    if policy.derived:
        data["kdf"] = _KDF_NAMES.get(policy.kdf, "hkdf_sha256")
        data["convergent_encryption"] = policy.convergent_encryption
        if policy.convergent_encryption:
            data["convergent_encryption_version"] = policy.convergent_version
    if kind.family is not Family.HMAC:
        data["keys"] = {
            str(number): _version_data(key.version(number), context)
            for number in sorted(policy.keys)
        }
    return data


def _version_data(version: Version, context: bytes) -> Any:
    family = version.key.kind.family
    entry = version.entry
    if family is Family.AEAD:
        return entry.creation_time
    name = version.key.kind.curve or version.key.kind.name
    return {
        "name": name,
        "public_key": public_text(version, context),
        "creation_time": Timestamp(format_time(entry.time_ns)),
        "certificate_chain": "",
    }


def public_text(version: Version, context: bytes = b"") -> str:
    """The public half: base64 for Ed25519 ("" for a derived one without context), PEM else."""
    kind = version.key.kind
    if kind.family is Family.ED25519:
        if version.key.policy.derived:
            if not context:
                return ""
            return base64.b64encode(derived_public_key(version, context)).decode()
        return version.entry.public_key
    if kind.family is Family.RSA:
        return public_pem(version.rsa_public())
    return version.entry.public_key or public_pem(version.ec_public())
