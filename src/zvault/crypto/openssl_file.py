"""Reader of ``openssl enc -aes-256-cbc -pbkdf2 -iter N -salt`` files, raw or base64 (``-a``).

What lives here: the old key file's container. What never does: writing one; what is inside.
Format: ``Salted__``, 8 bytes of salt, AES-256-CBC with PKCS#7 padding; key and IV are the 48 bytes
of PBKDF2-HMAC-SHA256. There is no authentication: one wrong password in about 256 leaves valid
padding and gives rubbish, so callers must check the content.
"""

import base64
import binascii

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from zvault.base.secret import Secret
from zvault.crypto.errors import OpensslFileError
from zvault.crypto.sealed_box import derive

_MAGIC = b"Salted__"
_SALT_BYTES = 8
_BLOCK_BYTES = 16


def is_openssl_file(content: bytes) -> bool:
    """It starts like one, raw or in base64."""
    return content.startswith(_MAGIC) or content.lstrip().startswith(base64.b64encode(_MAGIC)[:10])


def open_openssl_file(content: bytes, password: Secret, iterations: int) -> Secret:
    """The decrypted bytes; unauthenticated. Raises OpensslFileError."""
    raw = content if content.startswith(_MAGIC) else _unarmor(content)
    salt = raw[len(_MAGIC) : len(_MAGIC) + _SALT_BYTES]
    body = raw[len(_MAGIC) + _SALT_BYTES :]
    if len(salt) != _SALT_BYTES or not body or len(body) % _BLOCK_BYTES:
        raise OpensslFileError(
            "the openssl file is cut short: its length is no multiple of 16 bytes",
            hint="fetch the file again from its backup",
        )
    material = derive(password, salt, iterations, 48).reveal()
    decryptor = Cipher(algorithms.AES256(material[:32]), modes.CBC(material[32:])).decryptor()
    padded = decryptor.update(body) + decryptor.finalize()
    unpadder = PKCS7(8 * _BLOCK_BYTES).unpadder()
    try:
        return Secret(unpadder.update(padded) + unpadder.finalize())
    except ValueError:
        raise OpensslFileError(
            "wrong password for the openssl file (its padding is not valid)",
            hint="check the password and the number of iterations",
        ) from None


def _unarmor(content: bytes) -> bytes:
    try:
        raw = base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error:
        raw = b""
    if not raw.startswith(_MAGIC):
        raise OpensslFileError(
            "this is no openssl enc file: it does not start with Salted__",
            hint="name the file that `openssl enc -salt` wrote",
        )
    return raw
