"""The keys that sign access tokens, and which of them signs now.

What lives here: the form of the keys in Vault, the choice, the public half (JWKS). What never
does: Vault itself, tokens.
Invariants: every key is on the curve P-256; a key is known to everybody before it signs and until
the last token that it signed has ended, so an exchange logs nobody out.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm

ALGORITHM = "ES256"
_KID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class KeyRingError(ValueError):
    """What Vault holds are no signing keys; the text quotes none of it."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """``sign_from``: seconds since 1970 from which it signs unless a newer one does."""

    kid: str
    sign_from: int
    private: EllipticCurvePrivateKey
    public: EllipticCurvePublicKey

    @classmethod
    def read(cls, entry: object) -> "SigningKey":
        """From ``{"kid", "sign_from", "private_key": PEM}``. Raises KeyRingError."""
        if not isinstance(entry, Mapping):
            raise KeyRingError("a signing key is no object")
        kid, sign_from, pem = (entry.get(name) for name in ("kid", "sign_from", "private_key"))
        if not isinstance(kid, str) or not _KID.fullmatch(kid):
            raise KeyRingError("a signing key has no kid of letters, digits, '.', '_', '-'")
        if not isinstance(sign_from, int) or isinstance(sign_from, bool):
            raise KeyRingError(f"signing key {kid}: sign_from is no number of seconds")
        try:
            private = load_pem_private_key(str(pem).encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise KeyRingError(f"signing key {kid}: private_key is no PEM") from None
        if not isinstance(private, EllipticCurvePrivateKey) or not isinstance(
            private.curve, SECP256R1
        ):
            raise KeyRingError(f"signing key {kid} is not on the curve P-256")
        return cls(kid, sign_from, private, private.public_key())

    def stored(self) -> dict[str, Any]:
        """As Vault holds it: with the private half in clear."""
        pem = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return {"kid": self.kid, "sign_from": self.sign_from, "private_key": pem.decode()}

    def published(self) -> dict[str, Any]:
        """The public half as a JWK."""
        jwk = ECAlgorithm.to_jwk(self.public, as_dict=True)
        return {**jwk, "kid": self.kid, "alg": ALGORITHM, "use": "sig"}


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys that count, newest last."""

    keys: tuple[SigningKey, ...]

    @classmethod
    def read(cls, stored: Sequence[object]) -> "KeyRing":
        """From the list in Vault. Raises KeyRingError."""
        keys = sorted((SigningKey.read(one) for one in stored), key=lambda key: key.sign_from)
        if not keys:
            raise KeyRingError("there is no signing key")
        if len({key.kid for key in keys}) != len(keys):
            raise KeyRingError("two signing keys have one kid")
        return cls(tuple(keys))

    def signing(self, now: float) -> SigningKey:
        """The newest that may sign. Raises KeyRingError when all of them are for later."""
        for key in reversed(self.keys):
            if key.sign_from <= now:
                return key
        raise KeyRingError("every signing key is for later")

    def find(self, kid: object) -> SigningKey | None:
        """By its kid."""
        return next((key for key in self.keys if key.kid == kid), None)

    def jwks(self) -> dict[str, Any]:
        """The public halves, also of the key that will sign next (RFC 7517)."""
        return {"keys": [key.published() for key in self.keys]}

    def rotated(
        self, kid: str, now: int, *, known_after_seconds: int, token_seconds: int
    ) -> "KeyRing":
        """With one more key, and without those whose last token has ended.

        ``known_after_seconds``: by then every gateway has read the new key, so from then on it
        signs. ``token_seconds``: the longest life of a token. Raises KeyRingError for a known kid.
        """
        if self.find(kid):
            raise KeyRingError(f"signing key {kid} is there already")
        private = generate_private_key(SECP256R1())
        new = SigningKey(kid, now + known_after_seconds, private, private.public_key())
        # A key's last token is signed when the next one takes over.
        successors = zip(self.keys, [*self.keys[1:], new], strict=True)
        kept = [key for key, next_one in successors if next_one.sign_from + token_seconds > now]
        return KeyRing((*kept, new))


def first_ring(kid: str, now: int) -> KeyRing:
    """One key that signs at once."""
    private = generate_private_key(SECP256R1())
    return KeyRing((SigningKey(kid, now, private, private.public_key()),))
