"""ECDSA over the NIST curves, with any digest.

What lives here: keys from and to their numbers, signatures in DER and as plain halves. What never
does: hashing of messages, base64. A signature's own randomness is OpenSSL's.
Invariant: a digest of any length is cut to, or read as a number of, the curve's order length, as
FIPS 186-4 (6.4) and Go do, because a signer chooses the hash freely.
"""

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)

from zvault.crypto.errors import SignatureFormatError

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey
_SEQUENCE = 0x30


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve; ``order`` is that of its base point."""

    name: str
    curve: ec.EllipticCurve
    order: int
    number_bytes: int
    carrier: hashes.HashAlgorithm
    """Its size is that of the digests handed to OpenSSL."""


CURVES = {
    "P-256": Curve(
        "P-256",
        ec.SECP256R1(),
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        32,
        hashes.SHA256(),
    ),
    "P-384": Curve(
        "P-384",
        ec.SECP384R1(),
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
        48,
        hashes.SHA384(),
    ),
    "P-521": Curve(
        "P-521",
        ec.SECP521R1(),
        0x01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
        66,
        hashes.SHA512(),
    ),
}


def private_key(curve: Curve, number: int) -> PrivateKey:
    """The key of a private number. Raises ValueError when it is none."""
    return ec.derive_private_key(number, curve.curve)


def new_number(curve: Curve, random: bytes) -> int:
    """A private number in [1, order) from random bytes, 8 more than the order has (FIPS 186-4
    B.4.1, so the bias is below 2^-64)."""
    if len(random) < curve.number_bytes + 8:
        raise ValueError("too few random bytes for a private number")
    return int.from_bytes(random, "big") % (curve.order - 1) + 1


def public_key(curve: Curve, x: int, y: int) -> PublicKey:
    """The key of a point. Raises ValueError when it is not on the curve."""
    return ec.EllipticCurvePublicNumbers(x, y, curve.curve).public_key()


def point(key: PublicKey) -> tuple[int, int]:
    """x and y."""
    numbers = key.public_numbers()
    return numbers.x, numbers.y


def _carried(curve: Curve, digest: bytes) -> tuple[bytes, ec.ECDSA]:
    size = curve.carrier.digest_size
    cut = digest[: curve.number_bytes]
    if len(cut) > size:
        raise SignatureFormatError(f"a digest of {len(digest)} bytes is too long for {curve.name}")
    return cut.rjust(size, b"\0"), ec.ECDSA(Prehashed(curve.carrier))


def sign(curve: Curve, key: PrivateKey, digest: bytes) -> bytes:
    """A DER signature of a digest."""
    carried, algorithm = _carried(curve, digest)
    return key.sign(carried, algorithm)


def verify(curve: Curve, key: PublicKey, digest: bytes, signature: bytes) -> bool:
    """Whether a DER signature (``checked_der``) is that digest's."""
    carried, algorithm = _carried(curve, digest)
    try:
        key.verify(signature, carried, algorithm)
    except InvalidSignature:
        return False
    return True


def halves(curve: Curve, signature: bytes) -> bytes:
    """A DER signature as r and s side by side, as JWS wants them."""
    r, s = decode_dss_signature(signature)
    return r.to_bytes(curve.number_bytes, "big") + s.to_bytes(curve.number_bytes, "big")


def der_of_halves(signature: bytes) -> bytes:
    """r and s side by side as DER."""
    middle = len(signature) // 2
    r = int.from_bytes(signature[:middle], "big")
    s = int.from_bytes(signature[middle:], "big")
    return encode_dss_signature(r, s)


def checked_der(signature: bytes) -> bytes:
    """The signature itself. Raises SignatureFormatError when it is no DER of two numbers."""
    try:
        decode_dss_signature(signature)
    except ValueError:
        if _is_der_with_more(signature):
            raise SignatureFormatError("supplied signature contains extra data") from None
        raise SignatureFormatError("supplied signature is invalid") from None
    return signature


def _is_der_with_more(signature: bytes) -> bool:
    if len(signature) < 3 or signature[0] != _SEQUENCE:
        return False
    length, start = signature[1], 2
    if length == 0x81:
        length, start = signature[2], 3
    try:
        decode_dss_signature(signature[: start + length])
    except ValueError:
        return False
    return True
