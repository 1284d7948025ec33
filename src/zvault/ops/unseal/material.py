"""Where the agent's shares come from: a key file and its password, opened for each round.

What lives here: reading and opening the two files, their identity for the agent's memory. What
never does: a Vault. Invariant: shares and password are in memory only while a round needs them
(a password that can be read only once is kept by its source).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zvault.base.private_file import read_private
from zvault.base.secret import Secret
from zvault.crypto.errors import OpensslFileError
from zvault.crypto.openssl_file import is_openssl_file, open_openssl_file
from zvault.ops.unseal.decide import KeyIdentity
from zvault.ops.unseal.errors import (
    KeyFileSharesError,
    KeyFileTruncatedError,
    SharesSourceError,
    WrongPasswordError,
)
from zvault.ops.unseal.keyfile import parse_key_file
from zvault.ops.unseal.passwords import FilePassword, PasswordSource
from zvault.ops.unseal.shares import check_shares, decode_share

OLD_ITERATIONS = 250_000
"""What the predecessor's script gave to ``openssl enc -pbkdf2 -iter``."""


class Material(Protocol):
    """Something that has shares."""

    def identity(self) -> KeyIdentity | None:
        """Changes whenever another attempt may go differently; None when there is nothing."""
        ...

    def shares(self) -> list[Secret]:
        """The shares. Raises KeyFileError, PasswordSourceError, PreconditionError."""
        ...


@dataclass(frozen=True, slots=True)
class KeyFileMaterial:
    """A key file on disk (ours, or the predecessor's openssl file) and a password source."""

    path: Path
    password: PasswordSource

    def identity(self) -> KeyIdentity | None:
        stamp = _stamp(self.path)
        if stamp is None:
            return None
        if isinstance(self.password, FilePassword):
            stamp += f" {_stamp(self.password.path)}"
        return KeyIdentity(stamp)

    def shares(self) -> list[Secret]:
        content = read_private(self.path, "key file").reveal()
        if is_openssl_file(content):
            return open_old_file(content, self.password.read())
        return parse_key_file(content).open(self.password.read())


def open_old_file(content: bytes, password: Secret) -> list[Secret]:
    """The shares in a file of ``openssl enc -aes-256-cbc -pbkdf2 -iter 250000 -salt``.

    It carries no authentication, so a wrong password shows as bad padding or as content that is
    no share; which of both is wrong nobody can tell. Raises WrongPasswordError, KeyFileError.
    """
    try:
        text = open_openssl_file(content, password, OLD_ITERATIONS).reveal().decode("ascii")
        shares = [decode_share(line) for line in text.split()]
        check_shares(shares)
    except OpensslFileError as cause:
        if "cut short" in cause.message:
            raise KeyFileTruncatedError(cause.message, hint=cause.hint) from None
        raise _wrong() from None
    except (UnicodeDecodeError, SharesSourceError):
        raise _wrong() from None
    return shares


def _wrong() -> WrongPasswordError:
    return WrongPasswordError(
        "the password does not open this openssl file, or the file was changed (it carries no"
        " authentication, so nobody can tell which)",
        hint="with the right password, make a new file from it: zvault keyfile create --from-old",
    )


def require_threshold(shares: list[Secret], threshold: int) -> None:
    """Raise KeyFileSharesError for fewer shares than an unseal needs."""
    if len(shares) < threshold:
        raise KeyFileSharesError(
            f"the file holds {len(shares)} of {threshold} shares that an unseal needs",
            hint="make a new key file with enough shares: zvault keyfile create",
        )


def _stamp(path: Path) -> str | None:
    try:
        status = os.stat(path)  # noqa: PTH116 (one call, one moment)
    except OSError:
        return None
    parts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return ":".join(map(str, parts))
