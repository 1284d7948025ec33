"""A transit key ready for use: its policy and, per version, the objects that compute.

What lives here: choosing and opening versions, derivation. What never does: storage, request data,
JSON.
Invariants: a ``Key`` never changes (a change of the policy makes a new one), so who has one needs
no lock; computing objects are made once a version and die with the key.
Source: ``docs/api/transit.md``.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from zvault.base.secret import Secret
from zvault.crypto import chacha, ecdsa, rsa
from zvault.crypto.aead import new_aead
from zvault.crypto.kdf import counter_mode_sha256, hkdf_sha256
from zvault.engine.backends.transit import words
from zvault.engine.backends.transit.types import CHACHA, XCHACHA, Family, KeyType, numbered
from zvault.engine.backends.transit.words import FailedError, MistakeError
from zvault.records.transit import (
    CONVERGENT_PER_KEY,
    KDF_COUNTER,
    KDF_HKDF,
    KeyVersion,
    TransitPolicy,
)

AnyAead = AESGCM | chacha.ChaCha20Poly1305 | chacha.XChaCha20Poly1305
ED25519_SEED_BYTES = 32


class Key:
    """One key of a mount."""

    __slots__ = ("_opened", "kind", "policy")

    def __init__(self, policy: TransitPolicy, store_family: str) -> None:
        self.policy = policy
        self.kind: KeyType = numbered(policy.type, store_family)
        self._opened: dict[int, Version] = {}

    def version(self, number: int) -> "Version":
        """A version by its number. Raises FailedError when the policy does not hold it."""
        found = self._opened.get(number)
        if found is None:
            entry = self.policy.keys.get(number)
            if entry is None:
                raise FailedError("no such key version")
            found = self._opened[number] = Version(self, entry, number)
        return found

    def for_encryption(self, wanted: int, act: str = "encryption") -> "Version":
        """The version to encrypt or sign with; 0 is the latest. Raises MistakeError."""
        policy = self.policy
        if wanted == 0:
            wanted = policy.latest_version
        elif wanted < 0:
            raise MistakeError(f"requested version for {act} is negative")
        elif wanted > policy.latest_version:
            raise MistakeError(f"requested version for {act} is higher than the latest key version")
        elif wanted < policy.min_encryption_version:
            raise MistakeError(
                f"requested version for {act} is less than the minimum encryption key version"
            )
        self.check_kept(wanted)
        return self.version(wanted)

    def check_kept(self, number: int) -> None:
        """Raises MistakeError for a version that was put away (``min_decryption_version``)."""
        if number not in self.policy.keys:
            raise MistakeError("no such key version")

    def for_decryption(self, number: int, what: str) -> "Version":
        """The version that made a ciphertext, signature or HMAC. Raises MistakeError."""
        if number > self.policy.latest_version:
            raise MistakeError(f"invalid {what}: version is too new")
        if number < max(self.policy.min_decryption_version, 1):
            raise MistakeError(words.TOO_OLD)
        return self.version(number)


class Version:
    """One version of a key."""

    __slots__ = ("_aead", "_private", "_public", "entry", "key", "number")

    def __init__(self, key: Key, entry: KeyVersion, number: int) -> None:
        self.key = key
        self.entry = entry
        self.number = number
        self._aead: AnyAead | None = None
        self._private: Any = None
        self._public: Any = None

    def secret(self) -> Secret:
        """The stored symmetric key or Ed25519 pair. Raises FailedError, RecordError."""
        found = self.entry.key_bytes()
        if found is None:
            raise FailedError("the key version holds no key material")
        return found

    def convergent_version(self) -> int:
        """How a convergent nonce is made."""
        stated = self.key.policy.convergent_version
        return self.entry.convergent_version if stated == CONVERGENT_PER_KEY else stated

    def derived(self, context: bytes, length: int) -> bytes:
        """Key bytes for a context. Raises MistakeError without one."""
        if not context:
            raise MistakeError(words.NO_CONTEXT)
        kdf = self.key.policy.kdf
        secret = self.secret().reveal()
        if kdf == KDF_HKDF:
            return hkdf_sha256(secret, context, length)
        if kdf == KDF_COUNTER and length == 32:
            return counter_mode_sha256(secret, context, 256)
        raise FailedError("unsupported key derivation mode")

    def aead(self) -> AnyAead:
        """The AEAD of a key that is not derived."""
        if self._aead is None:
            self._aead = aead_of(self.key.kind, self.secret().reveal())
        return self._aead

    def ed25519_private(self, context: bytes) -> Ed25519PrivateKey:
        """The signing key (a derived key: of the context). Raises MistakeError, FailedError."""
        if self.key.policy.derived:
            seed = self.derived(context, ED25519_SEED_BYTES)
            return Ed25519PrivateKey.from_private_bytes(seed)
        if self._private is None:
            seed = self.secret().reveal()[:ED25519_SEED_BYTES]
            self._private = Ed25519PrivateKey.from_private_bytes(seed)
        return self._private  # type: ignore[no-any-return]

    def ed25519_public(self, context: bytes) -> Ed25519PublicKey:
        """The verifying key. Raises MistakeError, FailedError."""
        if self.key.policy.derived or self.entry.key is not None:
            return self.ed25519_private(context).public_key()
        try:
            raw = base64.b64decode(self.entry.public_key, validate=True)
            return Ed25519PublicKey.from_public_bytes(raw)
        except (binascii.Error, ValueError):
            raise FailedError("the key version holds no public key") from None

    def curve(self) -> ecdsa.Curve:
        """The curve of an ECDSA key."""
        return ecdsa.CURVES[self.key.kind.curve]

    def ec_private(self) -> ecdsa.PrivateKey:
        """The ECDSA private key. Raises FailedError."""
        if self._private is None:
            if self.entry.ec_d is None:
                raise FailedError("the key version holds no private key")
            self._private = _or_failure(ecdsa.private_key, self.curve(), self.entry.ec_d)
        return self._private  # type: ignore[no-any-return]

    def ec_public(self) -> ecdsa.PublicKey:
        """The ECDSA public key. Raises FailedError."""
        if self._public is None:
            x, y = self.entry.ec_x, self.entry.ec_y
            if x is None or y is None:
                raise FailedError("the key version holds no public key")
            self._public = _or_failure(ecdsa.public_key, self.curve(), x, y)
        return self._public  # type: ignore[no-any-return]

    def rsa_private(self) -> rsa.PrivateKey:
        """The RSA private key. Raises FailedError."""
        if self._private is None:
            if self.entry.rsa_key is None:
                raise FailedError("the key version holds no private key")
            numbers = _or_failure(rsa_numbers, self.entry.rsa_key)
            self._private = _or_failure(rsa.private_key, numbers, checked=False)
        return self._private  # type: ignore[no-any-return]

    def rsa_public(self) -> rsa.PublicKey:
        """The RSA public key. Raises FailedError."""
        if self._public is None:
            numbers = self.entry.rsa_key or self.entry.rsa_public_key
            if numbers is None:
                raise FailedError("the key version holds no public key")
            self._public = _or_failure(_rsa_public, numbers)
        return self._public  # type: ignore[no-any-return]

    @property
    def is_public_only(self) -> bool:
        """Imported without its private half."""
        entry = self.entry
        family = self.key.kind.family
        if family is Family.RSA:
            return entry.rsa_key is None
        if family is Family.ECDSA:
            return entry.ec_d is None
        return family is Family.ED25519 and entry.key is None


def aead_of(kind: KeyType, key: bytes) -> AnyAead:
    """The AEAD of a kind under a key. Raises FailedError for a key of the wrong length."""
    if len(key) != kind.key_bytes:
        raise FailedError("the key version's key has the wrong length")
    if kind is CHACHA:
        return chacha.ChaCha20Poly1305(key)
    if kind is XCHACHA:
        return chacha.XChaCha20Poly1305(key)
    return new_aead(key)


def rsa_numbers(stored: Mapping[str, Any]) -> rsa.Numbers:
    """A private key's numbers out of Go's JSON. Raises ValueError, KeyError, TypeError."""
    p, q = stored["Primes"]
    values = (stored["N"], stored["E"], stored["D"], p, q)
    if not all(isinstance(value, int) and value > 0 for value in values):
        raise TypeError
    return rsa.Numbers(*values)


def _rsa_public(stored: Mapping[str, Any]) -> rsa.PublicKey:
    return rsa.public_key(stored["N"], stored["E"])


def _or_failure(make: Any, *parts: Any, **more: Any) -> Any:
    """A computing object of stored numbers, which a broken entry cannot give."""
    try:
        return make(*parts, **more)
    except (KeyError, TypeError, ValueError, OverflowError, ZeroDivisionError):
        raise FailedError("the key version's numbers make no key") from None
