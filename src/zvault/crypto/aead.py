"""AES-GCM with the key schedule kept.

What lives here: the one place that makes AES-GCM objects. What never does: a format, a nonce's
origin.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from zvault.crypto.errors import KeyLengthError

__all__ = ["NONCE_BYTES", "TAG_BYTES", "Aead", "InvalidTag", "new_aead"]

Aead = AESGCM
NONCE_BYTES = 12
TAG_BYTES = 16


def new_aead(key: bytes) -> Aead:
    """An AES-GCM object for a key of 16, 24 or 32 bytes. Raises KeyLengthError."""
    if len(key) not in (16, 24, 32):
        raise KeyLengthError(
            f"the key is {len(key)} bytes long; AES takes 16, 24 or 32",
            hint="check that these are the shares of this Vault",
        )
    return AESGCM(key)
