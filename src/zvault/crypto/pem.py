"""Asymmetric keys of several kinds as text and as DER.

What lives here: what is the same for RSA, ECDSA and Ed25519. What never does: a key of our own.
"""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_public_key,
)

AnyPublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
AnyPrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def public_pem(key: AnyPublicKey) -> str:
    """``PUBLIC KEY`` in PEM, with a line feed at its end."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """``RSA PRIVATE KEY`` or ``EC PRIVATE KEY`` in PEM, with a line feed at its end."""
    return key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    ).decode()


def read_private_der(data: bytes) -> object:
    """The key of PKCS #8 in DER. Raises ValueError."""
    try:
        return load_der_private_key(data, None)
    except (TypeError, UnsupportedAlgorithm):
        raise ValueError("the key is encrypted or of an unknown kind") from None


def read_public_pem(data: bytes) -> object:
    """The key of a ``PUBLIC KEY``. Raises ValueError."""
    try:
        return load_pem_public_key(data)
    except UnsupportedAlgorithm:
        raise ValueError("the key is of an unknown kind") from None
