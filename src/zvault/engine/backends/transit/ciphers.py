"""Encryption and decryption with one key.

What lives here: the ciphertext's form ``vault:v<version>:<base64>`` and what is inside. Pure but
for nonces, which come from the source of randomness that is given.
Invariants: a nonce is random, or for a convergent key made of the plaintext, and never a caller's
unless the key is one of the oldest convergent ones, which have no other; a ciphertext opens only
under the version it names.
Source: ``docs/api/transit.md``.
"""

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes

from zvault.base.gobase64 import GoBase64Error, decode
from zvault.crypto import rsa
from zvault.engine.backends.transit.types import CHACHA, XCHACHA, Family
from zvault.engine.backends.transit.versions import AnyAead, Key, Version, aead_of
from zvault.engine.backends.transit.words import PREFIX, FailedError, MistakeError
from zvault.records.transit import CONVERGENT_VERSION

TAG_BYTES = 16
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Extras:
    """What may come with a text, decoded."""

    context: bytes = b""
    nonce: bytes = b""
    associated_data: bytes | None = None


NOTHING = Extras()


def encrypt(
    key: Key,
    wanted_version: int,
    plaintext: bytes,
    extras: Extras,
    random_bytes: Callable[[int], bytes],
) -> tuple[str, int]:
    """Ciphertext text and the version used. Raises MistakeError, FailedError."""
    if not key.kind.encrypts:
        raise MistakeError(f"message encryption not supported for key type {key.kind.name}")
    version = key.for_encryption(wanted_version)
    if key.kind.family is Family.RSA:
        sealed = _rsa_encrypt(version, plaintext)
    else:
        sealed = _seal(version, plaintext, extras, random_bytes)
    return f"{PREFIX}{version.number}:{base64.b64encode(sealed).decode()}", version.number


def _rsa_encrypt(version: Version, plaintext: bytes) -> bytes:
    try:
        return rsa.encrypt(version.rsa_public(), plaintext, hashes.SHA256())
    except ValueError:
        raise FailedError(
            "failed to RSA encrypt the plaintext: crypto/rsa: message too long for RSA key size"
        ) from None


def _seal(
    version: Version, plaintext: bytes, extras: Extras, random_bytes: Callable[[int], bytes]
) -> bytes:
    policy, kind = version.key.policy, version.key.kind
    if not policy.convergent_encryption:
        aead = _aead_for(version, extras.context)
        nonce = random_bytes(kind.nonce_bytes)
        return nonce + aead.encrypt(nonce, plaintext, extras.associated_data)
    way = version.convergent_version()
    if way == 1:
        nonce = _given_nonce(kind.nonce_bytes, extras)
        return _aead_for(version, extras.context).encrypt(nonce, plaintext, extras.associated_data)
    if way == 2:
        aead, nonce_key = _aead_for(version, extras.context), extras.context
    elif way == CONVERGENT_VERSION:
        both = version.derived(extras.context, kind.key_bytes + 32)
        aead, nonce_key = aead_of(kind, both[: kind.key_bytes]), both[kind.key_bytes :]
    else:
        raise FailedError("unhandled convergent version of the key")
    nonce = hmac.digest(nonce_key, plaintext, "sha256")[: kind.nonce_bytes]
    return nonce + aead.encrypt(nonce, plaintext, extras.associated_data)


def _given_nonce(length: int, extras: Extras) -> bytes:
    if len(extras.nonce) != length:
        raise MistakeError(
            f"base64-decoded nonce must be {length} bytes long when using convergent encryption "
            "with this key"
        )
    return extras.nonce


def _aead_for(version: Version, context: bytes) -> AnyAead:
    if version.key.policy.derived:
        kind = version.key.kind
        return aead_of(kind, version.derived(context, kind.key_bytes))
    return version.aead()


def split(text: str, what: str, unprefixed: str = "") -> tuple[int, str]:
    """Version number and base64 of ``vault:v<N>:<base64>``. Raises MistakeError.

    ``what`` it is called in errors; ``unprefixed``: when nothing says what it is.
    """
    if not text.startswith(PREFIX):
        raise MistakeError(f"invalid {unprefixed or what}: no prefix")
    number, colon, body = text[len(PREFIX) :].partition(":")
    if not colon:
        raise MistakeError(f"invalid {what}: wrong number of fields")
    digits = number[1:] if number[:1] in ("+", "-") else number
    if not digits.isascii() or not digits.isdecimal() or len(digits) > _MAX_DIGITS:
        raise MistakeError(f"invalid {what}: version number could not be decoded")
    return int(number), body


def decrypt(key: Key, text: str, extras: Extras) -> bytes:
    """The plaintext. Raises MistakeError, FailedError."""
    if not key.kind.encrypts:
        raise MistakeError(f"message decryption not supported for key type {key.kind.name}")
    number, body = split(text, "ciphertext")
    # Keys once began at version 0, which is now called 1.
    version = key.for_decryption(number or 1, "ciphertext")
    try:
        sealed = decode(body)
    except GoBase64Error:
        raise MistakeError("invalid ciphertext: could not decode base64") from None
    if key.kind.family is Family.RSA:
        return _rsa_decrypt(version, sealed)
    return _open(version, sealed, extras)


def _rsa_decrypt(version: Version, sealed: bytes) -> bytes:
    if version.is_public_only:
        raise FailedError(
            "cannot decrypt ciphertext, key version does not have a private counterpart"
        )
    try:
        return rsa.decrypt(version.rsa_private(), sealed, hashes.SHA256())
    except ValueError:
        raise FailedError(
            "failed to RSA decrypt the ciphertext: crypto/rsa: decryption error"
        ) from None


def _open(version: Version, sealed: bytes, extras: Extras) -> bytes:
    policy, kind = version.key.policy, version.key.kind
    nonce_bytes = kind.nonce_bytes
    # The AEAD key of every convergent version is the beginning of the derived bytes.
    aead = _aead_for(version, extras.context)
    if policy.convergent_encryption and version.convergent_version() == 1:
        nonce = _given_nonce(nonce_bytes, extras)
    else:
        if len(sealed) < nonce_bytes:
            raise MistakeError("invalid ciphertext length")
        nonce, sealed = sealed[:nonce_bytes], sealed[nonce_bytes:]
    try:
        if len(sealed) < TAG_BYTES:
            raise InvalidTag
        return aead.decrypt(nonce, sealed, extras.associated_data)
    except InvalidTag:
        who = "chacha20poly1305" if kind in (CHACHA, XCHACHA) else "cipher"
        raise MistakeError(f"{who}: message authentication failed") from None
