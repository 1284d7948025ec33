"""Signed tokens in compact form (RFC 7515): header, payload, signature.

What lives here: taking a token apart, checking and making its signature. Pure. What never does:
which keys and algorithms are trusted, what the claims mean.
Invariants: the algorithm is one the caller allows, is asymmetric, and is one the key was made for;
nothing in the token says which key or algorithm is used beyond choosing among those.
"""

import contextlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from zvault.crypto.errors import SignatureError, TokenFormError
from zvault.crypto.jwk import PrivateKey, PublicKey, b64url, curve_name, unb64url

MAX_TOKEN_BYTES = 64 * 1024
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_CURVE_OF = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_COORDINATE_BYTES = {"ES256": 32, "ES384": 48, "ES512": 66}
ALGORITHMS = (
    *("RS256", "RS384", "RS512"),
    *("ES256", "ES384", "ES512"),
    *("PS256", "PS384", "PS512"),
    "EdDSA",
)
"""All that can be checked. ``none`` and HMAC are not among them and never will be."""


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token taken apart; nothing in it is trusted yet."""

    algorithm: str
    key_id: str
    signed: bytes
    payload: bytes
    signature: bytes


def parse(token: str, allowed: Collection[str]) -> SignedToken:
    """The token's parts. Raises TokenFormError, also for an algorithm that is not allowed."""
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenFormError("the token is too long")
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenFormError("compact JWS format must have three parts")
    header = _header(unb64url(parts[0]))
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in allowed or algorithm not in ALGORITHMS:
        raise TokenFormError(
            f"unexpected signature algorithm {json.dumps(str(algorithm)[:20])}; expected "
            f"{' '.join(allowed)}"
        )
    if "crit" in header or header.get("b64") is False:
        raise TokenFormError("the token wants extensions that are not understood")
    key_id = header.get("kid", "")
    if not isinstance(key_id, str):
        raise TokenFormError("the key id (kid) is no text")
    return SignedToken(
        algorithm,
        key_id,
        f"{parts[0]}.{parts[1]}".encode(),
        unb64url(parts[1]),
        unb64url(parts[2]),
    )


def _header(data: bytes) -> dict[str, Any]:
    try:
        header = json.loads(data, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        raise TokenFormError("the token's header is no JSON") from None
    if not isinstance(header, dict):
        raise TokenFormError("the token's header is no JSON object")
    return header


def refuse_repeated_names(data: bytes) -> None:
    """Raises TokenFormError for JSON that two readers could read in two ways (RFC 7515, 4)."""
    with contextlib.suppress(ValueError, RecursionError):  # no JSON: whoever reads it will say so
        json.loads(data.decode("utf-8", "replace"), object_pairs_hook=_without_repeats)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise TokenFormError("a name is repeated in the token's JSON")
    return found


def is_for(key: PublicKey | PrivateKey, algorithm: str) -> bool:
    """The key is of the kind that the algorithm uses."""
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return algorithm.startswith(("RS", "PS"))
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return _CURVE_OF.get(algorithm) == curve_name(key)
    return algorithm == "EdDSA"


def verify(token: SignedToken, key: PublicKey) -> None:
    """Raises SignatureError unless ``key`` signed it."""
    algorithm = token.algorithm
    if not is_for(key, algorithm):
        raise SignatureError("the key is not for this algorithm")
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(token.signature, token.signed)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            signature = _der(token.signature, _COORDINATE_BYTES[algorithm])
            key.verify(signature, token.signed, ec.ECDSA(_HASHES[algorithm[2:]]))
        else:
            digest = _HASHES[algorithm[2:]]
            key.verify(token.signature, token.signed, _padding(algorithm, digest), digest)
    except (InvalidSignature, ValueError):
        raise SignatureError("the signature does not fit") from None


def _padding(algorithm: str, digest: hashes.HashAlgorithm) -> padding.AsymmetricPadding:
    if algorithm.startswith("PS"):
        return padding.PSS(padding.MGF1(digest), digest.digest_size)
    return padding.PKCS1v15()


def _der(signature: bytes, length: int) -> bytes:
    if len(signature) != 2 * length:
        raise ValueError
    return encode_dss_signature(
        int.from_bytes(signature[:length], "big"), int.from_bytes(signature[length:], "big")
    )


def sign(key: PrivateKey, algorithm: str, key_id: str, payload: bytes) -> str:
    """The compact token. Raises SignatureError for a key that is not for the algorithm."""
    if algorithm not in ALGORITHMS or not is_for(key, algorithm):
        raise SignatureError("the key is not for this algorithm")
    header = json.dumps({"alg": algorithm, "kid": key_id}, separators=(",", ":")).encode()
    signed = f"{b64url(header)}.{b64url(payload)}"
    data = signed.encode()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(data)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        length = _COORDINATE_BYTES[algorithm]
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(_HASHES[algorithm[2:]])))
        signature = r.to_bytes(length, "big") + s.to_bytes(length, "big")
    else:
        digest = _HASHES[algorithm[2:]]
        signature = key.sign(data, _padding(algorithm, digest), digest)
    return f"{signed}.{b64url(signature)}"
