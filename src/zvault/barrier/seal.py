"""The Shamir seal: its configuration, the stored root key, envelopes around physical values.

What lives here: ``core/seal-config`` (plain JSON), ``core/hsm/barrier-unseal-keys`` (protobuf
BlobInfo), the framing of several seals and the trailing ``s`` of seal-wrapped entries. Pure.
Invariant: what shares cannot open is refused with a sentence, never guessed at.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

import orjson
from google.protobuf.message import DecodeError

from zvault.barrier.errors import (
    SealConfigError,
    UnreadableEntryError,
    UnsupportedSealError,
    WrongUnsealKeyError,
)
from zvault.barrier.paths import SEAL_CONFIG, STORED_KEYS
from zvault.base.protobuf import build_messages
from zvault.base.secret import Secret
from zvault.crypto.aead import NONCE_BYTES, TAG_BYTES, InvalidTag, new_aead

MAX_SHARES = 255
_FRAME_MAGIC = b"multiwrapvalue:1"
_KNOWN_FIELDS = ("type", "secret_shares", "secret_threshold", "pgp_keys", "nonce", "backup")

_messages = build_messages(
    "zvault.seal",
    {
        "KeyInfo": [
            "1 mechanism uint64",
            "2 hmac_mechanism uint64",
            "3 key_id string",
            "4 hmac_key_id string",
            "5 wrapped_key bytes",
            "6 flags uint64",
        ],
        "BlobInfo": [
            "1 ciphertext bytes",
            "2 iv bytes",
            "3 hmac bytes",
            "4 wrapped bool",
            "5 key_info KeyInfo",
            "6 value_path string",
            "7 plaintext bytes",
        ],
        "MultiWrapValue": ["1 generation uint64", "2 slots repeated BlobInfo"],
    },
)
_BlobInfo = _messages["BlobInfo"]
_MultiWrapValue = _messages["MultiWrapValue"]


@dataclass(frozen=True, slots=True)
class SealConfig:
    """How many shares there are and how many open the store."""

    secret_shares: int
    secret_threshold: int
    type: str = "shamir"
    stored_shares: int | None = 1
    """None: the field is not there (OpenBao since 2.6 neither reads nor writes it)."""
    nonce: str = ""
    backup: bool = False
    pgp_keys: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The plain JSON of ``core/seal-config``, fields in Vault's order."""
        body: dict[str, Any] = {
            "type": self.type,
            "secret_shares": self.secret_shares,
            "secret_threshold": self.secret_threshold,
            "pgp_keys": list(self.pgp_keys) or None,
            "nonce": self.nonce,
            "backup": self.backup,
        }
        if self.stored_shares is not None:
            body["stored_shares"] = self.stored_shares
        return orjson.dumps(body | self.extra)


def decode_seal_config(data: bytes) -> SealConfig:
    """Parse and validate. Raises SealConfigError; UnsupportedSealError for other seals."""
    try:
        body = dict(orjson.loads(data))
        known = {name: body.pop(name) for name in _KNOWN_FIELDS if name in body}
        stored = body.pop("stored_shares", None)
        config = SealConfig(
            secret_shares=int(known["secret_shares"]),
            secret_threshold=int(known["secret_threshold"]),
            type=str(known.get("type") or "shamir"),
            stored_shares=None if stored is None else int(stored),
            nonce=str(known.get("nonce") or ""),
            backup=bool(known.get("backup")),
            pgp_keys=tuple(str(key) for key in known.get("pgp_keys") or ()),
            extra=body,
        )
    except (ValueError, TypeError, KeyError):
        raise SealConfigError(
            f"{SEAL_CONFIG} is no seal configuration", hint="restore it from a backup"
        ) from None
    if config.type != "shamir":
        raise UnsupportedSealError(
            f"this store is sealed by {config.type!r}, not by shares",
            hint="only Shamir seals open with shares or a key file",
        )
    _validate(config)
    return config


def _validate(config: SealConfig) -> None:
    shares, threshold = config.secret_shares, config.secret_threshold
    problem = ""
    if not 1 <= shares <= MAX_SHARES or not 1 <= threshold <= shares:
        problem = f"{threshold} of {shares} shares is impossible"
    elif threshold == 1 and shares > 1:
        problem = f"a threshold of 1 with {shares} shares is not allowed"
    elif config.stored_shares is not None and not 0 <= config.stored_shares <= 1:
        problem = f"stored_shares is {config.stored_shares}; 0 and 1 exist"
    elif config.pgp_keys and len(config.pgp_keys) != shares:
        problem = f"{len(config.pgp_keys)} PGP keys for {shares} shares"
    if problem:
        raise SealConfigError(f"{SEAL_CONFIG}: {problem}", hint="restore it from a backup")


def seal_stored_keys(unseal_key: Secret, root_key: Secret, nonce: bytes) -> bytes:
    """The value of ``core/hsm/barrier-unseal-keys``. ``nonce``: 12 fresh random bytes."""
    content = orjson.dumps([base64.b64encode(root_key.reveal()).decode()])
    ciphertext = nonce + new_aead(unseal_key.reveal()).encrypt(nonce, content, None)
    blob = _BlobInfo(ciphertext=ciphertext)
    blob.key_info.SetInParent()
    return bytes(blob.SerializeToString())


def open_stored_keys(value: bytes, unseal_key: Secret) -> Secret:
    """The root key. Raises WrongUnsealKeyError, UnreadableEntryError, UnsupportedSealError."""
    ciphertext = _stored_ciphertext(value)
    aead = new_aead(unseal_key.reveal())
    try:
        content = aead.decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], None)
    except InvalidTag:
        raise WrongUnsealKeyError(
            f"the key does not open {STORED_KEYS}: message authentication failed",
            hint="the shares are of another Vault, or from before a rekey, or the entry is damaged",
        ) from None
    try:
        (stored,) = orjson.loads(content)
        return Secret(base64.b64decode(stored, validate=True))
    except (ValueError, TypeError, binascii.Error):
        raise UnreadableEntryError(STORED_KEYS, "expected exactly one stored key") from None


def _stored_ciphertext(value: bytes) -> bytes:
    """Field 1 of the blob, checked to be long enough to hold one key."""
    blob = _parse_blob(value)
    if blob is None:
        raise UnreadableEntryError(STORED_KEYS, "it is no protobuf BlobInfo")
    if blob.wrapped or blob.key_info.key_id or blob.iv:
        raise UnsupportedSealError(
            f"{STORED_KEYS} was encrypted by a KMS, not by shares",
            hint="only Shamir seals open with shares or a key file",
        )
    ciphertext = bytes(blob.ciphertext)
    if len(ciphertext) < NONCE_BYTES + TAG_BYTES + len('[""]'):
        raise UnreadableEntryError(STORED_KEYS, f"it is cut short ({len(value)} bytes)")
    return ciphertext


def _parse_blob(value: bytes) -> Any:
    """The one BlobInfo in ``value``, framed or bare; None when it does not parse."""
    try:
        if not value.startswith(_FRAME_MAGIC):
            return _BlobInfo.FromString(value)
        length = int.from_bytes(value[16:20], "big")
        body = value[20:]
        if length != len(body):
            return None
        slots = _MultiWrapValue.FromString(body).slots
    except DecodeError:
        return None
    if len(slots) != 1:
        raise UnsupportedSealError(
            f"a value is wrapped by {len(slots)} seals", hint="only Shamir seals open with shares"
        )
    return slots[0]


def unwrap_value(key: str, value: bytes) -> bytes:
    """Strip the envelope of a seal-wrapped physical value that is not encrypted.

    A value that is none comes back as it is. Raises UnsupportedSealError when it is encrypted.
    """
    # A barrier record starts with a zero byte, and protobuf has no field number 0.
    if not value or value[0] == 0 or value[-1] != ord("s"):
        return value
    blob = _parse_blob(value[:-1])
    if blob is None or not blob.ciphertext:
        return value
    if blob.wrapped or blob.HasField("key_info"):
        raise UnsupportedSealError(
            f"{key} is seal-wrapped by Vault Enterprise",
            hint="unwrap it with the server that wrote it",
        )
    return bytes(blob.ciphertext)
