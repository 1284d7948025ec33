"""The key file: shares under a password, format version 1 (``docs/formats/keyfile.md``).

What lives here: the layout, the policy (at least 250,000 PBKDF2 iterations, at least threshold
shares) and the order in which a file is judged. What never does: files, terminals, a Vault.
Invariants: nothing is derived from the password before the file is known to be whole and not
weakened; every byte before the ciphertext is authenticated; four causes (wrong password, changed
bit, truncation, lowered iterations) are four errors.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zvault.base.secret import Secret
from zvault.crypto.errors import BoxError
from zvault.crypto.sealed_box import derive, open_with_key, seal_with_key
from zvault.ops.unseal.errors import (
    KeyFileCorruptError,
    KeyFileError,
    KeyFileSharesError,
    KeyFileTruncatedError,
    KeyFileWeakenedError,
    NotAKeyFileError,
    PasswordSourceError,
    WrongPasswordError,
)
from zvault.ops.unseal.keyfile_header import (
    MAGIC,
    MAX_ITERATIONS,
    MIN_ITERATIONS,
    KeyFileHeader,
    VaultIdentity,
    decode_header,
    encode_header,
    seal_line,
)
from zvault.ops.unseal.shares import check_shares

DEFAULT_ITERATIONS = 600_000
SALT_BYTES = 32
NONCE_BYTES = 12
_ENCRYPTION = b"zvault key file 1: encryption"
_PASSWORD_CHECK = b"zvault key file 1: password check"
_LINE = 76
_DAMAGED = "take the file from its backup, or make a new one: zvault keyfile create"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A whole, not weakened file, still locked."""

    header: KeyFileHeader
    associated: bytes
    ciphertext: bytes

    def open(self, password: Secret) -> list[Secret]:
        """The shares. Raises WrongPasswordError, KeyFileCorruptError, KeyFileSharesError."""
        master = derive(password, self.header.salt, self.header.iterations)
        if not hmac.compare_digest(_subkey(master, _PASSWORD_CHECK), self.header.password_check):
            raise WrongPasswordError(
                "the password does not open this key file", hint="is it the password of this file?"
            )
        try:
            content = open_with_key(
                Secret(_subkey(master, _ENCRYPTION)),
                self.ciphertext,
                header=self.associated,
                nonce=self.header.nonce,
            )
        except BoxError:
            raise KeyFileCorruptError(
                "the password is right, and the key file was changed after it was written",
                hint=_DAMAGED,
            ) from None
        return _decode_shares(content, self.header)


def seal_key_file(
    shares: Sequence[Secret],
    password: Secret,
    *,
    threshold: int,
    total: int,
    vault: VaultIdentity,
    created: str,
    random_bytes: Callable[[int], bytes],
    iterations: int = DEFAULT_ITERATIONS,
) -> bytes:
    """The bytes of a new key file.

    Raises KeyFileWeakenedError below 250,000 iterations, KeyFileSharesError for fewer than
    threshold distinct shares, PasswordSourceError for an empty password.
    """
    if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
        raise KeyFileWeakenedError(
            f"{iterations} iterations are not within {MIN_ITERATIONS} and {MAX_ITERATIONS}",
            hint=f"leave the option out for {DEFAULT_ITERATIONS}",
        )
    if not password:
        raise PasswordSourceError("the password is empty", hint="openssl rand -base64 32")
    _check_enough(shares, threshold)
    salt, nonce = random_bytes(SALT_BYTES), random_bytes(NONCE_BYTES)
    master = derive(password, salt, iterations)
    content = Secret(
        json.dumps([base64.b64encode(share.reveal()).decode() for share in shares]).encode()
    )
    header = KeyFileHeader(
        iterations=iterations,
        salt=salt,
        nonce=nonce,
        password_check=_subkey(master, _PASSWORD_CHECK),
        payload_bytes=len(content) + 16,
        threshold=threshold,
        total=total,
        held=len(shares),
        created=created,
        vault=vault,
    )
    associated = MAGIC + encode_header(header)
    ciphertext = seal_with_key(
        Secret(_subkey(master, _ENCRYPTION)), content, header=associated, nonce=nonce
    )
    body = associated + _armor(ciphertext)
    return body + seal_line(iterations, hashlib.sha256(body).hexdigest())


def parse_key_file(content: bytes) -> KeyFile:
    """Judge a file without its password: whole, of a known version, not weakened.

    Raises NotAKeyFileError, KeyFileTruncatedError, KeyFileWeakenedError, KeyFileCorruptError,
    KeyFileVersionError.
    """
    trailer = _find_trailer(content)
    if trailer is None:
        raise _without_trailer(content)
    body = content[: len(content) - len(trailer.line)]
    first, _, rest = body.partition(b"\n")
    line, _, armored = rest.partition(b"\n")
    if trailer.sha256 != hashlib.sha256(body).hexdigest():
        _refuse_weakened(first, line, trailer.iterations)
        raise _corrupt()
    header = decode_header(first + b"\n", line + b"\n")
    if header.iterations != trailer.iterations:
        raise _corrupt()
    return KeyFile(header, MAGIC + line + b"\n", _unarmor(armored, header.payload_bytes))


@dataclass(frozen=True, slots=True)
class _Trailer:
    line: bytes
    iterations: int
    sha256: str


def _find_trailer(content: bytes) -> _Trailer | None:
    """The last line, when it is exactly what `seal_line` writes."""
    line = content[content.rfind(b"\n", 0, -1) + 1 :]
    try:
        fields = json.loads(line)
        trailer = _Trailer(line, fields["iterations"], fields["sha256"])
        good = isinstance(trailer.iterations, int) and line == seal_line(
            trailer.iterations, trailer.sha256
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return trailer if good else None


def _without_trailer(content: bytes) -> KeyFileError:
    """The end is missing or changed: the header's lengths tell which."""
    if not content.startswith(MAGIC[: len(content)]):
        return NotAKeyFileError(
            "this is no key file of zvault", hint="name the file `zvault keyfile create` wrote"
        )
    first, _, rest = content.partition(b"\n")
    line, newline, rest = rest.partition(b"\n")
    if not newline:
        return _truncated()
    try:
        header = decode_header(first + b"\n", line + b"\n")
    except KeyFileError as damage:
        return damage
    whole = len(_armor(bytes(header.payload_bytes))) + len(seal_line(header.iterations, "0" * 64))
    return _truncated() if len(rest) < whole else _corrupt()


def _refuse_weakened(first: bytes, line: bytes, iterations: int) -> None:
    """Raise KeyFileWeakenedError when what changed is the number of iterations, downwards."""
    try:
        header = decode_header(first + b"\n", line + b"\n")
    except KeyFileWeakenedError:
        raise
    except KeyFileError:
        return
    if header.iterations < iterations:
        raise _weakened(header.iterations)


def _weakened(iterations: int) -> KeyFileWeakenedError:
    return KeyFileWeakenedError(
        f"the key file was weakened: it asks for {iterations} iterations", hint=_DAMAGED
    )


def _truncated() -> KeyFileTruncatedError:
    return KeyFileTruncatedError("the key file is cut short", hint=_DAMAGED)


def _corrupt() -> KeyFileCorruptError:
    return KeyFileCorruptError("the key file was changed: its checksum differs", hint=_DAMAGED)


def _subkey(master: Secret, purpose: bytes) -> bytes:
    """HMAC-SHA256 of a label: two independent keys from one derivation."""
    return hmac.digest(master.reveal(), purpose, "sha256")


def _check_enough(shares: Sequence[Secret], threshold: int) -> None:
    check_shares(shares)
    if len(shares) < threshold:
        raise KeyFileSharesError(
            f"{len(shares)} shares are fewer than the threshold of {threshold}",
            hint="give at least as many shares as an unseal needs",
        )


def _decode_shares(content: Secret, header: KeyFileHeader) -> list[Secret]:
    try:
        shares = [
            Secret(base64.b64decode(text, validate=True)) for text in json.loads(content.reveal())
        ]
        good = len(shares) == header.held
    except (ValueError, TypeError, RecursionError):
        good = False
    if not good:
        raise KeyFileSharesError("the key file holds no list of shares", hint=_DAMAGED)
    _check_enough(shares, header.threshold)
    return shares


def _armor(raw: bytes) -> bytes:
    text = base64.b64encode(raw)
    return b"".join(text[i : i + _LINE] + b"\n" for i in range(0, len(text), _LINE))


def _unarmor(armored: bytes, payload_bytes: int) -> bytes:
    try:
        raw = base64.b64decode(armored.replace(b"\n", b""), validate=True)
    except binascii.Error:
        raise _corrupt() from None
    if len(raw) != payload_bytes:
        raise _corrupt()
    return raw
