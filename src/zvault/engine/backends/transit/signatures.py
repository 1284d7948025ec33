"""Signatures and HMACs with one key.

What lives here: digests, the algorithms' switches, the signature's form. What never does: request
data, storage. A signature's own randomness is OpenSSL's.
Source: ``docs/api/transit.md``.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from zvault.base.gobase64 import GoBase64Error, decode, decode_raw_url, encode_raw_url
from zvault.crypto import ecdsa, rsa
from zvault.crypto.errors import SignatureFormatError
from zvault.engine.backends.transit.ciphers import split
from zvault.engine.backends.transit.types import Family
from zvault.engine.backends.transit.versions import Key, Version
from zvault.engine.backends.transit.words import PREFIX, FailedError, MistakeError

T = TypeVar("T")
NO_HASH = "none"
HASHES: dict[str, tuple[str, Callable[[], hashes.HashAlgorithm]]] = {
    "sha1": ("sha1", hashes.SHA1),
    "sha2-224": ("sha224", hashes.SHA224),
    "sha2-256": ("sha256", hashes.SHA256),
    "sha2-384": ("sha384", hashes.SHA384),
    "sha2-512": ("sha512", hashes.SHA512),
    "sha3-224": ("sha3_224", hashes.SHA3_224),
    "sha3-256": ("sha3_256", hashes.SHA3_256),
    "sha3-384": ("sha3_384", hashes.SHA3_384),
    "sha3-512": ("sha3_512", hashes.SHA3_512),
}
"""Vault's name: hashlib's name and the ``cryptography`` class."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How to sign or verify."""

    hash: str = "sha2-256"
    prehashed: bool = False
    scheme: str = "pss"
    salt: rsa.Salt | int = rsa.Salt.AUTO
    jws: bool = False

    def digest_of(self, message: bytes) -> bytes:
        """What is signed of a message."""
        if self.prehashed or self.hash == NO_HASH:
            return message
        return hashlib.new(HASHES[self.hash][0], message).digest()


def sign(key: Key, wanted_version: int, message: bytes, context: bytes, how: Manner) -> "Signed":
    """A signature. Raises FailedError for what Vault calls internal, MistakeError for the rest."""
    try:
        version = key.for_encryption(wanted_version, "signing")
    except MistakeError as mistake:
        raise FailedError(str(mistake)) from None
    if version.is_public_only:
        raise FailedError("requested version for signing does not contain a private part")
    public = b""
    if key.kind.family is Family.ED25519:
        private = _derived_or_failure(version.ed25519_private, context)
        raw = private.sign(message)
        if key.policy.derived:
            public = _raw_public(private.public_key())
    elif key.kind.family is Family.ECDSA:
        raw = _sign_ecdsa(version, how.digest_of(message), how)
    else:
        raw = _sign_rsa(version, how.digest_of(message), how)
    text = encode_raw_url(raw) if how.jws else base64.b64encode(raw).decode()
    return Signed(f"{PREFIX}{version.number}:{text}", version.number, public)


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature's text, the version that made it, and the public key if it is derived."""

    text: str
    version: int
    public_key: bytes


def _raw_public(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def derived_public_key(version: Version, context: bytes) -> bytes:
    """The public half for a context. Raises MistakeError, FailedError."""
    return _raw_public(version.ed25519_public(context))


def _derived_or_failure(open_key: Callable[[bytes], T], context: bytes) -> T:
    try:
        return open_key(context)
    except MistakeError as mistake:
        raise FailedError(f"error deriving key: {mistake}") from None


def _sign_ecdsa(version: Version, digest: bytes, how: Manner) -> bytes:
    curve = version.curve()
    try:
        signature = ecdsa.sign(curve, version.ec_private(), digest)
    except SignatureFormatError as error:
        raise MistakeError(error.message) from None
    return ecdsa.halves(curve, signature) if how.jws else signature


def _scheme(how: Manner) -> rsa.Scheme:
    try:
        return rsa.Scheme(how.scheme)
    except ValueError:
        raise FailedError(f"unsupported rsa signature algorithm {how.scheme}") from None


def _algorithm(how: Manner, digest: bytes) -> hashes.HashAlgorithm | None:
    if how.hash == NO_HASH:
        return None
    algorithm = HASHES[how.hash][1]()
    if len(digest) != algorithm.digest_size:
        raise FailedError("crypto/rsa: input must be hashed with given hash")
    return algorithm


def _salt_problem(how: Manner, key: rsa.PublicKey, algorithm: hashes.HashAlgorithm | None) -> str:
    if algorithm is None or how.scheme != rsa.Scheme.PSS.value or isinstance(how.salt, rsa.Salt):
        return ""
    fits = how.salt <= rsa.max_salt_bytes(key, algorithm)
    return "" if fits else f"requested salt length {how.salt} is invalid"


def _sign_rsa(version: Version, digest: bytes, how: Manner) -> bytes:
    scheme = _scheme(how)
    algorithm = _algorithm(how, digest)
    problem = _salt_problem(how, version.rsa_public(), algorithm)
    if problem:
        raise FailedError(problem)
    try:
        return rsa.sign(version.rsa_private(), digest, algorithm, scheme, how.salt)
    except ValueError:
        raise FailedError("crypto/rsa: message too long for RSA key size") from None


def verify(key: Key, message: bytes, text: str, context: bytes, how: Manner) -> bool:
    """Whether a signature is that message's. Raises MistakeError, FailedError."""
    number, body = split(text, "signature")
    version = key.for_decryption(number, "signature")
    try:
        raw = decode_raw_url(body) if how.jws else decode(body)
    except GoBase64Error:
        raise MistakeError("invalid base64 signature value") from None
    if key.kind.family is Family.ED25519:
        return _verify_ed25519(version, message, context, raw)
    digest = how.digest_of(message)
    if key.kind.family is Family.ECDSA:
        return _verify_ecdsa(version, digest, raw, how)
    return _verify_rsa(version, digest, raw, how)


def _verify_ed25519(version: Version, message: bytes, context: bytes, raw: bytes) -> bool:
    public = _derived_or_failure(version.ed25519_public, context)
    try:
        public.verify(raw, message)
    except InvalidSignature:
        return False
    return True


def _verify_ecdsa(version: Version, digest: bytes, raw: bytes, how: Manner) -> bool:
    try:
        der = ecdsa.der_of_halves(raw) if how.jws else ecdsa.checked_der(raw)
        return ecdsa.verify(version.curve(), version.ec_public(), digest, der)
    except SignatureFormatError as error:
        raise MistakeError(error.message) from None


def _verify_rsa(version: Version, digest: bytes, raw: bytes, how: Manner) -> bool:
    scheme = _scheme(how)
    try:
        algorithm = _algorithm(how, digest)
    except FailedError:
        # No signature is that of a digest of the wrong length.
        return False
    public = version.rsa_public()
    problem = _salt_problem(how, public, algorithm)
    if problem:
        raise MistakeError(problem)
    return rsa.verify(public, digest, algorithm, scheme, how.salt, raw)


def hmac_key(version: Version) -> bytes:
    """The key of a version's HMACs. Raises FailedError."""
    secret = version.entry.hmac_key_bytes()
    if secret is None:
        raise FailedError("no HMAC key exists for that key version")
    return secret.reveal()


def hmac_of(key: Key, wanted_version: int, message: bytes, hash_name: str) -> str:
    """``vault:v<N>:<base64>`` of the HMAC. Raises FailedError."""
    number = wanted_version or key.policy.latest_version
    mac = hmac.digest(hmac_key(key.version(number)), message, HASHES[hash_name][0])
    return f"{PREFIX}{number}:{base64.b64encode(mac).decode()}"


def checked_hmac_version(key: Key, wanted: int) -> None:
    """Raises MistakeError for a version that makes no HMACs."""
    policy = key.policy
    if wanted < 0:
        raise MistakeError("key version does not exist (cannot be negative)")
    if wanted > policy.latest_version:
        raise MistakeError(
            f"key version does not exist; latest key version is {policy.latest_version}"
        )
    if wanted and wanted != policy.latest_version and wanted < policy.min_encryption_version:
        raise MistakeError("cannot generate HMAC: version is too old (disallowed by policy)")
    key.check_kept(wanted or policy.latest_version)


def verify_hmac(key: Key, message: bytes, text: str, hash_name: str) -> bool:
    """Whether an HMAC is that message's. Raises MistakeError, FailedError."""
    number, body = split(text, "HMAC", "HMAC to verify")
    try:
        given = decode(body)
    except GoBase64Error as error:
        raise MistakeError(f"unable to decode verification HMAC as base64: {error}") from None
    policy = key.policy
    if number > policy.latest_version:
        raise MistakeError("invalid HMAC: version is too new")
    if number < max(policy.min_decryption_version, 1):
        raise MistakeError("cannot verify HMAC: version is too old (disallowed by policy)")
    made = hmac.digest(hmac_key(key.version(number)), message, HASHES[hash_name][0])
    return hmac.compare_digest(made, given)
