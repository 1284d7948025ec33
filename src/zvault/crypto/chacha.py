"""ChaCha20-Poly1305, and XChaCha20-Poly1305 made from it.

What lives here: the AEAD with 12 bytes of nonce and the one with 24. Pure: nonces are parameters.
Source: RFC 8439; draft-irtf-cfrg-xchacha-03 section 2 (HChaCha20).
"""

import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

__all__ = ["ChaCha20Poly1305", "InvalidTag", "XChaCha20Poly1305", "hchacha20"]

XNONCE_BYTES = 24
_CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")
_WORD = 0xFFFFFFFF


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """The subkey for a key of 32 bytes and the first 16 bytes of a long nonce.

    A ChaCha20 block is the permuted state plus the state it began with, so the permuted state,
    which is what HChaCha20 wants, is the block minus the state.
    """
    block = Cipher(ChaCha20(key, nonce), None).encryptor().update(bytes(64))
    words = struct.unpack("<16I", block)
    tail = struct.unpack("<4I", nonce)
    head = [(word - start) & _WORD for word, start in zip(words[:4], _CONSTANTS, strict=True)]
    rest = [(word - start) & _WORD for word, start in zip(words[12:], tail, strict=True)]
    return struct.pack("<8I", *head, *rest)


class XChaCha20Poly1305:
    """The AEAD with 24 bytes of nonce."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def _inner(self, nonce: bytes) -> tuple[ChaCha20Poly1305, bytes]:
        if len(nonce) != XNONCE_BYTES:
            raise ValueError("the nonce must be 24 bytes long")
        return ChaCha20Poly1305(hchacha20(self._key, nonce[:16])), bytes(4) + nonce[16:]

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Ciphertext and tag."""
        aead, short = self._inner(nonce)
        return aead.encrypt(short, data, associated_data)

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """The plaintext. Raises InvalidTag."""
        aead, short = self._inner(nonce)
        return aead.decrypt(short, data, associated_data)
