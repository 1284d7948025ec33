"""The keysutil policy under which a KV v2 mount encrypts the names of its secrets.

What lives here: reading one, and making the pair of entries of a new mount. Pure: key material and
time are parameters. Transit keys have the same shape and are carried as they are.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zvault.base.gotime import SECOND_NS, ZERO_TIME, format_time
from zvault.base.secret import Secret
from zvault.records import compress, gojson
from zvault.records.errors import RecordError

KEY_BYTES = 32
_EMPTY_PARTS = {
    "ec_x": None,
    "ec_y": None,
    "ec_d": None,
    "rsa_key": None,
    "rsa_public_key": None,
    "public_key": "",
}


@dataclass(frozen=True, slots=True)
class PathPolicy:
    """What encrypting and decrypting of names needs."""

    keys: Mapping[int, Secret]
    latest_version: int
    storage_prefix: str


def decode_path_policy(data: bytes) -> PathPolicy:
    """The policy of ``policy/metadata``. Raises RecordError."""
    body = gojson.loads_object(compress.expand(data))
    try:
        keys = {
            int(version): Secret(base64.b64decode(entry["key"], validate=True))
            for version, entry in body["keys"].items()
        }
        latest, prefix = body["latest_version"], body["storage_prefix"]
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
        raise RecordError("KV v2 path policy: a field is missing or wrong") from None
    if latest not in keys or not isinstance(prefix, str):
        raise RecordError("KV v2 path policy: the latest key is missing")
    return PathPolicy(keys, latest, prefix)


def new_path_policy(
    storage_prefix: str, key: Secret, hmac_key: Secret, now_ns: int
) -> tuple[bytes, bytes]:
    """The values of ``policy/metadata`` and ``archive/metadata`` of a new KV v2 mount."""
    entry = {
        "key": base64.b64encode(key.reveal()).decode(),
        "hmac_key": base64.b64encode(hmac_key.reveal()).decode(),
        "time": format_time(now_ns),
        **_EMPTY_PARTS,
        "convergent_version": 3,
        "creation_time": now_ns // SECOND_NS,
        "certificate_chain": None,
    }
    policy: dict[str, Any] = {
        "name": "metadata",
        "keys": {"1": entry},
        "derived": True,
        "kdf": 1,
        "convergent_encryption": True,
        "exportable": False,
        "min_decryption_version": 1,
        "min_encryption_version": 0,
        "latest_version": 1,
        "archive_version": 1,
        "archive_min_version": 0,
        "min_available_version": 0,
        "deletion_allowed": False,
        "convergent_version": -1,
        "type": 0,
        "backup_info": None,
        "restore_info": None,
        "allow_plaintext_backup": False,
        "version_template": "{{version}}:",
        "storage_prefix": storage_prefix,
        "auto_rotate_period": 0,
        "Imported": False,
        "AllowImportedKeyRotation": False,
    }
    archive = {"keys": [_empty_entry(), entry]}
    return gojson.dumps(policy, sort_keys=False), gojson.dumps(archive, sort_keys=False)


def _empty_entry() -> dict[str, Any]:
    """Index 0 of the archive, which stands for no version."""
    return {
        "key": None,
        "hmac_key": None,
        "time": ZERO_TIME,
        **_EMPTY_PARTS,
        "convergent_version": 0,
        "creation_time": 0,
        "certificate_chain": None,
    }
