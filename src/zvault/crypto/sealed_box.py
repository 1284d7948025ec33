"""A password-locked box: PBKDF2-HMAC-SHA256 and AES-256-GCM, header bound as associated data.

What lives here: deriving and opening. What never does: the layout of a file, the least number of
iterations (policy of ``ops/unseal/keyfile.py``), the password's origin.
Invariant: nothing of the content comes out unless password, header and every bit are right.
"""

import hashlib

from zvault.base.secret import Secret
from zvault.crypto.aead import InvalidTag, new_aead
from zvault.crypto.errors import BoxError

KEY_BYTES = 32


def derive(password: Secret, salt: bytes, iterations: int, length: int = KEY_BYTES) -> Secret:
    """PBKDF2-HMAC-SHA256. More than 32 bytes give several independent keys at once."""
    return Secret(hashlib.pbkdf2_hmac("sha256", password.reveal(), salt, iterations, dklen=length))


def seal_with_key(key: Secret, content: Secret, *, header: bytes, nonce: bytes) -> bytes:
    """Ciphertext and tag under a derived key (32 bytes) and a fresh 12-byte nonce."""
    return new_aead(key.reveal()).encrypt(nonce, content.reveal(), header)


def open_with_key(key: Secret, sealed: bytes, *, header: bytes, nonce: bytes) -> Secret:
    """The content. Raises BoxError when key, header or any bit is not the one it was sealed with.

    Which of them it was cannot be told from here; callers who want to say so store a check value
    of the key (a second derived key) beside the box.
    """
    try:
        return Secret(new_aead(key.reveal()).decrypt(nonce, sealed, header))
    except InvalidTag:
        raise BoxError(
            "wrong password, or the content was changed", hint="check the password"
        ) from None
