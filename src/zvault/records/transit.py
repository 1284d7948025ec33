"""Transit keys: the policy of a key with its versions, and the archive of all its versions.

What lives here: the JSON below ``policy/`` and ``archive/`` of a transit mount, and of a key's
backup. What never does: cryptography with the keys. Pure.
Invariants: key material does not show in a repr; fields nobody here knows are kept; in an archive
the version at index ``i`` is ``archive_min_version + i``.
Source: ``docs/formats/records.md``. Times and durations: int nanoseconds.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from zvault.base.gotime import SECOND_NS, ZERO_NS
from zvault.base.secret import Secret
from zvault.records import compress, gojson
from zvault.records.codec import Codec, Kind, Member
from zvault.records.errors import RecordError

POLICY_PREFIX = "policy/"
ARCHIVE_PREFIX = "archive/"
CACHE_CONFIG_KEY = "config/cache"
KEYS_CONFIG_KEY = "config/keys"
WRAPPING_KEY_NAME = "import/wrapping-key"
KDF_COUNTER = 0
KDF_HKDF = 1
CONVERGENT_PER_KEY = -1
"""``convergent_version`` of a policy: look at each version."""
CONVERGENT_VERSION = 3


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """One version of a key."""

    key: str | None = field(default=None, repr=False)
    """Base64: symmetric key, HMAC key, or seed and public half of Ed25519."""
    hmac_key: str | None = field(default=None, repr=False)
    """Base64."""
    time_ns: int = ZERO_NS
    ec_x: int | None = None
    ec_y: int | None = None
    ec_d: int | None = field(default=None, repr=False)
    rsa_key: Mapping[str, Any] | None = field(default=None, repr=False)
    rsa_public_key: Mapping[str, Any] | None = None
    public_key: str = ""
    """PEM, or base64 for Ed25519; "" for RSA."""
    convergent_version: int = 0
    creation_time: int = 0
    """Seconds since the Unix epoch."""
    certificate_chain: Any = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"KeyVersion(creation_time={self.creation_time})"

    def key_bytes(self) -> Secret | None:
        """The key. Raises RecordError."""
        return _secret(self.key)

    def hmac_key_bytes(self) -> Secret | None:
        """The key of HMACs. Raises RecordError."""
        return _secret(self.hmac_key)


@dataclass(frozen=True, slots=True)
class TransitPolicy:
    """One key with the versions that may still be used."""

    name: str = ""
    key_size: int = 0
    keys: Mapping[int, KeyVersion] = field(default_factory=dict)
    derived: bool = False
    kdf: int = 0
    convergent_encryption: bool = False
    exportable: bool = False
    min_decryption_version: int = 0
    min_encryption_version: int = 0
    latest_version: int = 0
    archive_version: int = 0
    archive_min_version: int = 0
    min_available_version: int = 0
    deletion_allowed: bool = False
    convergent_version: int = 0
    type: int = 0
    backup_info: Any = None
    restore_info: Any = None
    allow_plaintext_backup: bool = False
    version_template: str = ""
    storage_prefix: str = ""
    auto_rotate_period_ns: int = 0
    imported: bool = False
    allow_imported_key_rotation: bool = False
    soft_deleted: bool = False
    """OpenBao's: the key is there and must not be used."""
    extra: dict[str, Any] = field(default_factory=dict)


_VERSION = Codec(
    "transit key version",
    KeyVersion,
    [
        Member("key", Kind.ANY),
        Member("hmac_key", Kind.ANY),
        Member("time", Kind.TIME, "time_ns"),
        Member("ec_x", Kind.ANY),
        Member("ec_y", Kind.ANY),
        Member("ec_d", Kind.ANY),
        Member("rsa_key", Kind.ANY),
        Member("rsa_public_key", Kind.ANY),
        Member("public_key", Kind.TEXT),
        Member("convergent_version", Kind.INT),
        Member("creation_time", Kind.INT),
        Member("certificate_chain", Kind.ANY),
    ],
    newline=False,
)
_MEMBERS = [
    Member("name", Kind.TEXT),
    Member("key_size", Kind.INT, omit_empty=True),
    Member("keys", Kind.ANY),
    Member("derived", Kind.BOOL),
    Member("kdf", Kind.INT),
    Member("convergent_encryption", Kind.BOOL),
    Member("exportable", Kind.BOOL),
    Member("min_decryption_version", Kind.INT),
    Member("min_encryption_version", Kind.INT),
    Member("latest_version", Kind.INT),
    Member("archive_version", Kind.INT),
    Member("archive_min_version", Kind.INT),
    Member("min_available_version", Kind.INT),
    Member("deletion_allowed", Kind.BOOL),
    Member("convergent_version", Kind.INT),
    Member("type", Kind.INT),
    Member("backup_info", Kind.ANY),
    Member("restore_info", Kind.ANY),
    Member("allow_plaintext_backup", Kind.BOOL),
    Member("version_template", Kind.TEXT),
    Member("storage_prefix", Kind.TEXT),
    Member("auto_rotate_period", Kind.INT, "auto_rotate_period_ns"),
    Member("Imported", Kind.BOOL, "imported"),
    Member("AllowImportedKeyRotation", Kind.BOOL, "allow_imported_key_rotation"),
    Member("soft_deleted", Kind.BOOL, omit_empty=True),
]
_POLICY = Codec("transit key", TransitPolicy, _MEMBERS, newline=False)


def _secret(text: str | None) -> Secret | None:
    if text is None:
        return None
    try:
        return Secret(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise RecordError("transit key version: key material is no base64") from None


def _version(body: Any) -> KeyVersion:
    if not isinstance(body, dict):
        raise RecordError("transit key: a version is not an object")
    found = _VERSION.from_json(body)
    for value in (found.key, found.hmac_key):
        if value is not None and not isinstance(value, str):
            raise RecordError("transit key version: key material is no text")
    for number in (found.ec_x, found.ec_y, found.ec_d):
        if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
            raise RecordError("transit key version: a number of the curve is none")
    for numbers in (found.rsa_key, found.rsa_public_key):
        if numbers is not None and not isinstance(numbers, dict):
            raise RecordError("transit key version: an RSA key is not an object")
    return found


def policy_from_json(body: Mapping[str, Any]) -> TransitPolicy:
    """A policy of its parsed JSON. Raises RecordError."""
    found = _POLICY.from_json(body)
    versions = found.keys if found.keys is not None else {}
    if not isinstance(versions, dict):
        raise RecordError("transit key: the versions are not an object")
    try:
        keys = {int(number): _version(entry) for number, entry in versions.items()}
    except ValueError:
        raise RecordError("transit key: a version's name is no number") from None
    return replace(found, keys=keys)


def policy_to_json(policy: TransitPolicy) -> dict[str, Any]:
    """A policy as Vault's JSON object."""
    body = _POLICY.to_json(policy)
    body["keys"] = {
        str(number): _VERSION.to_json(policy.keys[number]) for number in sorted(policy.keys)
    }
    return body


def archive_from_json(body: Mapping[str, Any]) -> tuple[KeyVersion, ...]:
    """The versions of an archive by index. Raises RecordError."""
    listed = body.get("keys")
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise RecordError("transit archive: the versions are not a list")
    return tuple(_version(entry) for entry in listed)


def archive_to_json(versions: Sequence[KeyVersion]) -> dict[str, Any]:
    """An archive as Vault's JSON object."""
    return {"keys": [_VERSION.to_json(version) for version in versions]}


def decode_policy(data: bytes) -> TransitPolicy:
    """The entry of ``policy/NAME``. Raises RecordError."""
    return policy_from_json(gojson.loads_object(compress.expand(data)))


def encode_policy(policy: TransitPolicy) -> bytes:
    """What is stored at ``policy/NAME``."""
    return gojson.dumps(policy_to_json(policy), sort_keys=False)


def decode_archive(data: bytes) -> tuple[KeyVersion, ...]:
    """The entry of ``archive/NAME``. Raises RecordError."""
    return archive_from_json(gojson.loads_object(compress.expand(data)))


def encode_archive(versions: Sequence[KeyVersion]) -> bytes:
    """What is stored at ``archive/NAME``."""
    return gojson.dumps(archive_to_json(versions), sort_keys=False)


def encode_backup(policy: TransitPolicy, archive: Sequence[KeyVersion]) -> bytes:
    """A key's backup: both entries in one."""
    body = {"policy": policy_to_json(policy), "archived_keys": archive_to_json(archive)}
    return gojson.dumps(body, sort_keys=False)


def decode_backup(data: bytes) -> tuple[TransitPolicy, tuple[KeyVersion, ...]]:
    """What ``encode_backup`` or a real server made. Raises RecordError."""
    body = gojson.loads_object(data)
    policy, archive = body.get("policy"), body.get("archived_keys")
    if not isinstance(policy, dict) or not isinstance(archive, dict):
        raise RecordError("transit backup: no key in it")
    return policy_from_json(policy), archive_from_json(archive)


def new_version(now_ns: int, hmac_key: Secret, **parts: Any) -> KeyVersion:
    """A version made now; ``parts`` are its key material."""
    return KeyVersion(
        hmac_key=encoded(hmac_key),
        time_ns=now_ns,
        creation_time=now_ns // SECOND_NS,
        **parts,
    )


def encoded(secret: Secret) -> str:
    """Key material as it is stored."""
    return base64.b64encode(secret.reveal()).decode()
