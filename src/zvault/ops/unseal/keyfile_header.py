"""The header of a key file: what anybody may read, and what the ciphertext is bound to.

What lives here: the header's fields, their strict reading and canonical writing, the last line.
What never does: keys, shares, files. Pure.
Invariant: a header that was read is written again as the same bytes, so what was judged is what
is authenticated; an unknown field, cipher or version is refused, never skipped.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from zvault.base.json_fields import count_field
from zvault.ops.unseal.errors import (
    KeyFileCorruptError,
    KeyFileVersionError,
    KeyFileWeakenedError,
)

MAGIC = b"zvault-key-file 1\n"
MIN_ITERATIONS = 250_000
"""The mission's lower bound (row A2); held at creation and on reading."""
MAX_ITERATIONS = 50_000_000
"""About half a minute; more would let a forged file hang the unsealer."""
MAX_PAYLOAD_BYTES = 1 << 16

KDF = "pbkdf2-hmac-sha256"
CIPHER = "aes-256-gcm"
_DAMAGED = "take the file from its backup, or make a new one: zvault keyfile create"


@dataclass(frozen=True, slots=True)
class VaultIdentity:
    """Which Vault a key file is for.

    ``fingerprint`` is the SHA-256 of ``core/hsm/barrier-unseal-keys``: it is new after a rekey and
    travels unchanged with the store. The others are for people and may be empty.
    """

    fingerprint: str
    name: str = ""
    cluster_name: str = ""
    cluster_id: str = ""
    store: str = ""


@dataclass(frozen=True, slots=True)
class KeyFileHeader:
    """Everything but the shares. ``held`` is how many of ``total`` shares are inside."""

    iterations: int
    salt: bytes
    nonce: bytes
    password_check: bytes
    payload_bytes: int
    threshold: int
    total: int
    held: int
    created: str
    vault: VaultIdentity


def encode_header(header: KeyFileHeader) -> bytes:
    """One line of JSON with sorted keys."""
    return (json.dumps(public_fields(header), sort_keys=True, ensure_ascii=True) + "\n").encode()


def public_fields(header: KeyFileHeader) -> dict[str, Any]:
    """The header as JSON; there is no secret in it."""
    return {
        "cipher": CIPHER,
        "created": header.created,
        "kdf": {"iterations": header.iterations, "name": KDF, "salt": _text(header.salt)},
        "nonce": _text(header.nonce),
        "password_check": _text(header.password_check),
        "payload_bytes": header.payload_bytes,
        "shares": {"held": header.held, "threshold": header.threshold, "total": header.total},
        "vault": {
            "cluster_id": header.vault.cluster_id,
            "cluster_name": header.vault.cluster_name,
            "fingerprint": header.vault.fingerprint,
            "name": header.vault.name,
            "store": header.vault.store,
        },
    }


def decode_header(first: bytes, line: bytes) -> KeyFileHeader:
    """Read both header lines.

    Raises KeyFileVersionError, KeyFileWeakenedError for fewer iterations than the bound,
    KeyFileCorruptError for anything that `encode_header` does not write.
    """
    if first != MAGIC:
        version = first.partition(b" ")[2].strip()
        if version.isdigit() and len(version) < 9 and int(version) > 1:
            raise KeyFileVersionError(
                f"the key file has format version {int(version)}; this program knows 1",
                hint="use the newer zvault that wrote it",
            )
        raise _corrupt("its first line is not what zvault writes")
    try:
        header = _build(json.loads(line))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _corrupt("its header cannot be read") from None
    if header.iterations < MIN_ITERATIONS:
        raise KeyFileWeakenedError(
            f"the key file was weakened: it asks for {header.iterations} iterations, and less than"
            f" {MIN_ITERATIONS} are refused",
            hint=_DAMAGED,
        )
    if encode_header(header) != line:
        raise _corrupt("its header is not what zvault writes")
    if header.iterations > MAX_ITERATIONS or not 0 < header.payload_bytes <= MAX_PAYLOAD_BYTES:
        raise _corrupt("its header holds a number out of bounds")
    return header


def seal_line(iterations: int, sha256: str) -> bytes:
    """The last line: the iterations once more, and the checksum of everything before."""
    return (json.dumps({"iterations": iterations, "sha256": sha256}) + "\n").encode()


def _build(fields: dict[str, Any]) -> KeyFileHeader:
    kdf, shares, vault = fields["kdf"], fields["shares"], fields["vault"]
    if kdf["name"] != KDF or fields["cipher"] != CIPHER:
        raise ValueError("unknown algorithm")
    return KeyFileHeader(
        iterations=count_field(kdf["iterations"]),
        salt=_raw(kdf["salt"]),
        nonce=_raw(fields["nonce"]),
        password_check=_raw(fields["password_check"]),
        payload_bytes=count_field(fields["payload_bytes"]),
        threshold=count_field(shares["threshold"]),
        total=count_field(shares["total"]),
        held=count_field(shares["held"]),
        created=str(fields["created"]),
        vault=VaultIdentity(**{str(name): str(value) for name, value in vault.items()}),
    )


def _raw(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as cause:
        raise ValueError("no base64") from cause


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _corrupt(what: str) -> KeyFileCorruptError:
    return KeyFileCorruptError(f"the key file was changed: {what}", hint=_DAMAGED)
