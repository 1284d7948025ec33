"""The kinds of transit keys and what each can do.

What lives here: one table, with the numbers that stand for kinds in storage. Pure.
Invariant: numbers 10 and 11 mean different kinds in Vault and in OpenBao, so a number is read and
written only together with the store's family.
Source: ``docs/api/transit.md``.
"""

from dataclasses import dataclass
from enum import Enum, auto

from zvault.engine.errors import InvalidRequestError


class Family(Enum):
    """What computes with the key."""

    AEAD = auto()
    ED25519 = auto()
    ECDSA = auto()
    RSA = auto()
    HMAC = auto()


@dataclass(frozen=True, slots=True)
class KeyType:
    """One kind of key."""

    name: str
    family: Family
    number: int
    openbao_number: int = -1
    """Where OpenBao's differs."""
    key_bytes: int = 0
    nonce_bytes: int = 0
    curve: str = ""
    bits: int = 0
    only: str = ""
    """The one store family that has it; "" = all."""

    @property
    def encrypts(self) -> bool:
        return self.family in (Family.AEAD, Family.RSA)

    @property
    def signs(self) -> bool:
        return self.family in (Family.ED25519, Family.ECDSA, Family.RSA)

    @property
    def derives(self) -> bool:
        return self.family in (Family.AEAD, Family.ED25519)

    def number_in(self, store_family: str) -> int:
        """What stands for this kind in a store of that family."""
        if store_family == "openbao" and self.openbao_number >= 0:
            return self.openbao_number
        return self.number


AES256 = KeyType("aes256-gcm96", Family.AEAD, 0, key_bytes=32, nonce_bytes=12)
AES128 = KeyType("aes128-gcm96", Family.AEAD, 8, key_bytes=16, nonce_bytes=12)
CHACHA = KeyType("chacha20-poly1305", Family.AEAD, 5, key_bytes=32, nonce_bytes=12)
XCHACHA = KeyType(
    "xchacha20-poly1305", Family.AEAD, 11, key_bytes=32, nonce_bytes=24, only="openbao"
)
ED25519 = KeyType("ed25519", Family.ED25519, 2)
HMAC = KeyType("hmac", Family.HMAC, 11, openbao_number=10)
RSA_4096 = KeyType("rsa-4096", Family.RSA, 4, bits=4096)
ALL = (
    AES128,
    AES256,
    CHACHA,
    XCHACHA,
    ED25519,
    KeyType("ecdsa-p256", Family.ECDSA, 1, curve="P-256"),
    KeyType("ecdsa-p384", Family.ECDSA, 6, curve="P-384"),
    KeyType("ecdsa-p521", Family.ECDSA, 7, curve="P-521"),
    KeyType("rsa-2048", Family.RSA, 3, bits=2048),
    KeyType("rsa-3072", Family.RSA, 9, bits=3072),
    RSA_4096,
    HMAC,
)


def named(name: str, store_family: str) -> KeyType | None:
    """The kind of that name, when stores of that family have it."""
    for kind in ALL:
        if kind.name == name and kind.only in ("", store_family):
            return kind
    return None


def numbered(number: int, store_family: str) -> KeyType:
    """The kind behind a stored number. Raises InvalidRequestError for one we do not serve."""
    for kind in ALL:
        if kind.only in ("", store_family) and kind.number_in(store_family) == number:
            return kind
    raise InvalidRequestError(f"keys of stored type {number} are not served here")
