"""New key material, and material that callers bring.

What lives here: versions made from random bytes, from PKCS #8 and from public keys. What never
does: storage, requests. RSA keys come from OpenSSL's own generator.
Invariant: what is imported is proven to be of the kind it is imported as.
"""

import base64
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric import rsa as rsa_keys
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from zvault.base.secret import Secret
from zvault.crypto import ecdsa, rsa
from zvault.crypto.pem import public_pem, read_private_der, read_public_pem
from zvault.engine.backends.transit.types import Family, KeyType
from zvault.engine.backends.transit.words import FailedError
from zvault.records.transit import KeyVersion, encoded, new_version

MIN_HMAC_BYTES = 32
MAX_HMAC_BYTES = 512
Random = Callable[[int], bytes]
Parts = dict[str, Any]


def is_slow(kind: KeyType) -> bool:
    """Making one takes long enough to be done in a thread."""
    return kind.family is Family.RSA


def generated(kind: KeyType, key_size: int, now_ns: int, random_bytes: Random) -> KeyVersion:
    """A fresh version."""
    if kind.family is Family.HMAC:
        key = Secret(random_bytes(key_size))
        return new_version(now_ns, key, key=encoded(key))
    return new_version(now_ns, Secret(random_bytes(32)), **_parts(kind, random_bytes))


def _parts(kind: KeyType, random_bytes: Random) -> Parts:
    if kind.family is Family.ED25519:
        return _ed25519_parts(Ed25519PrivateKey.from_private_bytes(random_bytes(32)))
    if kind.family is Family.ECDSA:
        curve = ecdsa.CURVES[kind.curve]
        number = ecdsa.new_number(curve, random_bytes(curve.number_bytes + 8))
        return _ecdsa_parts(ecdsa.private_key(curve, number), number)
    if kind.family is Family.RSA:
        return {"rsa_key": rsa_json(rsa.generate(kind.bits))}
    return {"key": encoded(Secret(random_bytes(kind.key_bytes)))}


def _ed25519_parts(key: Ed25519PrivateKey) -> Parts:
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    seed = key.private_bytes_raw()
    return {
        "key": encoded(Secret(seed + public)),
        "public_key": base64.b64encode(public).decode(),
    }


def _ecdsa_parts(key: ec.EllipticCurvePrivateKey, number: int) -> Parts:
    return {"ec_d": number, **_ecdsa_public_parts(key.public_key())}


def _ecdsa_public_parts(key: ec.EllipticCurvePublicKey) -> Parts:
    x, y = ecdsa.point(key)
    return {"ec_x": x, "ec_y": y, "public_key": public_pem(key)}


def rsa_json(key: rsa.PrivateKey) -> dict[str, Any]:
    """A private key as Go's JSON."""
    numbers = key.private_numbers()
    public = numbers.public_numbers
    # Go's Qinv is the inverse of the second prime modulo the first, as PKCS #1 has it.
    return {
        "N": public.n,
        "E": public.e,
        "D": numbers.d,
        "Primes": [numbers.p, numbers.q],
        "Precomputed": {
            "Dp": numbers.dmp1,
            "Dq": numbers.dmq1,
            "Qinv": numbers.iqmp,
            "CRTValues": [],
        },
    }


def _rsa_public_json(key: rsa.PublicKey) -> dict[str, Any]:
    numbers = key.public_numbers()
    return {"N": numbers.n, "E": numbers.e}


def imported(kind: KeyType, content: bytes, now_ns: int, random_bytes: Random) -> KeyVersion:
    """A version of unwrapped material: raw bytes, or PKCS #8. Raises FailedError."""
    if kind.family is Family.HMAC:
        if not MIN_HMAC_BYTES <= len(content) <= MAX_HMAC_BYTES:
            raise FailedError(f"invalid key size {len(content)} bytes for key type {kind.name}")
        key = Secret(content)
        return new_version(now_ns, key, key=encoded(key))
    if kind.family is Family.AEAD:
        if len(content) != kind.key_bytes:
            raise FailedError(f"invalid key size {len(content)} bytes for key type {kind.name}")
        parts: Parts = {"key": encoded(Secret(content))}
    else:
        parts = private_parts(kind, content)
    return new_version(now_ns, Secret(random_bytes(32)), **parts)


def private_parts(kind: KeyType, content: bytes) -> Parts:
    """What a PKCS #8 key adds to a version. Raises FailedError."""
    try:
        key = read_private_der(content)
    except ValueError:
        raise FailedError("error parsing asymmetric key: not a private key in PKCS #8") from None
    if kind.family is Family.ED25519 and isinstance(key, Ed25519PrivateKey):
        return _ed25519_parts(key)
    if kind.family is Family.ECDSA and isinstance(key, ec.EllipticCurvePrivateKey):
        _check_curve(kind, key.curve)
        return _ecdsa_parts(key, key.private_numbers().private_value)
    if kind.family is Family.RSA and isinstance(key, rsa_keys.RSAPrivateKey):
        _check_bits(kind, key.key_size)
        return {
            "rsa_key": rsa_json(key),
            "rsa_public_key": _rsa_public_json(key.public_key()),
        }
    raise FailedError(f"invalid key type: expected {kind.name}")


def public_version(kind: KeyType, text: str, now_ns: int, random_bytes: Random) -> KeyVersion:
    """A version without a private half, of a ``PUBLIC KEY``. Raises FailedError."""
    return new_version(now_ns, Secret(random_bytes(32)), **public_parts(kind, text))


def public_parts(kind: KeyType, text: str) -> Parts:
    """What a public key adds to a version. Raises FailedError."""
    try:
        key = read_public_pem(text.encode())
    except ValueError:
        raise FailedError("error parsing public key: not in PEM format") from None
    if kind.family is Family.ED25519 and isinstance(key, Ed25519PublicKey):
        raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {"public_key": base64.b64encode(raw).decode()}
    if kind.family is Family.ECDSA and isinstance(key, ec.EllipticCurvePublicKey):
        _check_curve(kind, key.curve)
        return _ecdsa_public_parts(key)
    if kind.family is Family.RSA and isinstance(key, rsa_keys.RSAPublicKey):
        _check_bits(kind, key.key_size)
        return {"rsa_public_key": _rsa_public_json(key)}
    raise FailedError(f"invalid key type: expected {kind.name}")


def _check_curve(kind: KeyType, curve: ec.EllipticCurve) -> None:
    expected = ecdsa.CURVES[kind.curve]
    if curve.name != expected.curve.name:
        names = {known.curve.name: name for name, known in ecdsa.CURVES.items()}
        got = names.get(curve.name, curve.name)
        raise FailedError(f"invalid curve: expected {expected.name}, got {got}")


def _check_bits(kind: KeyType, bits: int) -> None:
    if bits != kind.bits:
        raise FailedError(f"invalid key size: expected {kind.bits} bits, got {bits} bits")
