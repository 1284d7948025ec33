"""Public and private keys as JSON Web Keys (RFC 7517, 7518, 8037).

What lives here: RSA, EC (P-256, P-384, P-521) and Ed25519 keys to and from JSON objects. Pure. What
never does: keys made, keys chosen, symmetric keys (a token signed with a shared secret is never
accepted here).
Invariant: a key that is read is a key of its kind: on its curve, RSA of at least 2048 bits.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from zvault.crypto.errors import TokenFormError

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
MIN_RSA_BITS = 2048
_CURVES: dict[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_NAMES = {curve.name: name for name, curve in _CURVES.items()}
_URLSAFE = re.compile(r"[A-Za-z0-9_-]*")


def b64url(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text: str) -> bytes:
    """Strict base64url without padding. Raises TokenFormError."""
    if not _URLSAFE.fullmatch(text):
        raise TokenFormError("illegal base64 data")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise TokenFormError("illegal base64 data") from None


def curve_name(key: ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey) -> str:
    """``P-256`` and its like. Raises TokenFormError for another curve."""
    name = _NAMES.get(key.curve.name)
    if name is None:
        raise TokenFormError("a key on a curve that tokens do not use")
    return name


def _number(value: int, length: int = 0) -> str:
    return b64url(value.to_bytes(length or (value.bit_length() + 7) // 8 or 1, "big"))


def _coordinate_bytes(curve: ec.EllipticCurve) -> int:
    return (curve.key_size + 7) // 8


def public_members(key: PublicKey) -> dict[str, str]:
    """``kty`` and the numbers of a public key."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point, length = key.public_numbers(), _coordinate_bytes(key.curve)
        return {
            "kty": "EC",
            "crv": curve_name(key),
            "x": _number(point.x, length),
            "y": _number(point.y, length),
        }
    return {"kty": "OKP", "crv": "Ed25519", "x": b64url(key.public_bytes_raw())}


def private_members(key: PrivateKey) -> dict[str, str]:
    """The numbers that only the owner has."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        return {
            "d": _number(numbers.d),
            "p": _number(numbers.p),
            "q": _number(numbers.q),
            "dp": _number(numbers.dmp1),
            "dq": _number(numbers.dmq1),
            "qi": _number(numbers.iqmp),
        }
    if isinstance(key, ec.EllipticCurvePrivateKey):
        length = _coordinate_bytes(key.curve)
        return {"d": _number(key.private_numbers().private_value, length)}
    return {"d": b64url(key.private_bytes_raw())}


def _text(jwk: Mapping[str, Any], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str) or not value:
        raise TokenFormError(f"a JSON web key without {name!r}")
    return value


def _read_number(jwk: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(unb64url(_text(jwk, name)), "big")


def public_key(jwk: Mapping[str, Any]) -> PublicKey:
    """The public key in a JSON web key, private numbers left alone. Raises TokenFormError."""
    kind = jwk.get("kty")
    try:
        if kind == "RSA":
            numbers = rsa.RSAPublicNumbers(_read_number(jwk, "e"), _read_number(jwk, "n"))
            return checked(numbers.public_key())
        if kind == "EC":
            curve = _CURVES.get(_text(jwk, "crv"))
            if curve is None:
                raise TokenFormError("a key on a curve that tokens do not use")
            point = ec.EllipticCurvePublicNumbers(
                _read_number(jwk, "x"), _read_number(jwk, "y"), curve
            )
            return point.public_key()
        if kind == "OKP" and jwk.get("crv") == "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(unb64url(_text(jwk, "x")))
    except ValueError:
        raise TokenFormError("a JSON web key whose numbers are no key") from None
    raise TokenFormError("a JSON web key of a kind that tokens are not checked with")


def private_key(jwk: Mapping[str, Any]) -> PrivateKey:
    """The private key in a JSON web key. Raises TokenFormError."""
    public = public_key(jwk)
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            return ed25519.Ed25519PrivateKey.from_private_bytes(unb64url(_text(jwk, "d")))
        secret = _read_number(jwk, "d")
        if isinstance(public, ec.EllipticCurvePublicKey):
            return ec.EllipticCurvePrivateNumbers(secret, public.public_numbers()).private_key()
        p, q = _read_number(jwk, "p"), _read_number(jwk, "q")
        return rsa.RSAPrivateNumbers(
            p=p,
            q=q,
            d=secret,
            dmp1=rsa.rsa_crt_dmp1(secret, p),
            dmq1=rsa.rsa_crt_dmq1(secret, q),
            iqmp=rsa.rsa_crt_iqmp(p, q),
            public_numbers=public.public_numbers(),
        ).private_key()
    except ValueError:
        raise TokenFormError("a JSON web key whose private numbers are no key") from None


def pem_public_key(text: str) -> PublicKey:
    """The public key in PEM text: a key or a certificate. Raises TokenFormError."""
    data = text.encode()
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            return checked(load_pem_x509_certificate(data).public_key())
        return checked(load_pem_public_key(data))
    except TokenFormError:
        raise
    except Exception:
        # Parsers of hostile text raise many kinds; all mean the same here.
        raise TokenFormError("the text holds no public key in PEM form") from None


def checked(key: PublicKeyTypes) -> PublicKey:
    """The key when tokens may be checked with it. Raises TokenFormError."""
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise TokenFormError(f"an RSA key of less than {MIN_RSA_BITS} bits")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        curve_name(key)
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise TokenFormError("a key of a kind that tokens are not checked with")
