"""Where the key file's password comes from: a private file, a descriptor, systemd, a person.

What lives here: one class a source. What never does: a password in argv or in a variable of the
environment; there is no source for these on purpose.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from zvault.base.private_file import read_private
from zvault.base.secret import Secret
from zvault.ops.unseal.errors import PasswordSourceError
from zvault.ops.unseal.terminal import ask_hidden

MIN_CHARACTERS = 8
"""Below this a new password is refused."""
GOOD_CHARACTERS = 32
"""Below this a new password is remarked upon (security checklist of stage 8)."""
_MAX_BYTES = 4096


class PasswordSource(Protocol):
    """Something that knows the password."""

    def read(self) -> Secret:
        """The password. Raises PasswordSourceError or PreconditionError."""
        ...


@dataclass(frozen=True)
class FilePassword:
    """The one line of a private file; read again each time, so it can be changed."""

    path: Path
    forbidden_bits: int = 0o077

    def read(self) -> Secret:
        content = read_private(self.path, "password file", forbidden_bits=self.forbidden_bits)
        return one_line(content, str(self.path))


@dataclass
class DescriptorPassword:
    """The one line behind an open file descriptor; read once and kept."""

    descriptor: int
    _kept: Secret | None = field(default=None, repr=False)

    def read(self) -> Secret:
        if self._kept is None:
            try:
                with os.fdopen(self.descriptor, "rb") as file:
                    content = Secret(file.read(_MAX_BYTES + 1))
            except OSError as cause:
                raise PasswordSourceError(
                    f"descriptor {self.descriptor} cannot be read: {cause.strerror}",
                    hint="open it in the calling shell: 3<file",
                ) from None
            self._kept = one_line(content, f"descriptor {self.descriptor}")
        return self._kept


def credential_password(name: str, environ: Mapping[str, str]) -> FilePassword:
    """A systemd credential (``LoadCredential=``/``LoadCredentialEncrypted=``) by name.

    systemd gives them mode 0400, or root's 0440 where the service's user is let in by an access
    control list (whose mask the mode shows as group bits). Raises PasswordSourceError.
    """
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise PasswordSourceError(
            "there is no CREDENTIALS_DIRECTORY, so systemd gave no credential",
            hint=f"set LoadCredential={name}:PATH in the unit",
        )
    if "/" in name or name in ("", ".", ".."):
        raise PasswordSourceError("a credential's name is no path", hint="give its bare name")
    return FilePassword(Path(directory) / name, forbidden_bits=0o037)


@dataclass
class PromptPassword:
    """A person at the terminal, asked once (twice for a new password); kept."""

    repeat: bool = False
    ask: Callable[[str], str] = ask_hidden
    _kept: Secret | None = field(default=None, repr=False)

    def read(self) -> Secret:
        if self._kept is None:
            try:
                first = Secret(self.ask("password of the key file (not shown): "))
                again = Secret(self.ask("once more: ")) if self.repeat else first
            except EOFError:
                raise PasswordSourceError(
                    "there is no terminal to ask at", hint="use --password-file"
                ) from None
            if first != again:
                raise PasswordSourceError("the two passwords differ", hint="type it again")
            self._kept = one_line(first, "the prompt")
        return self._kept


def one_line(content: Secret, where: str) -> Secret:
    """The content without its line end. Raises PasswordSourceError: empty, or several lines."""
    raw = content.reveal()
    if len(raw) > _MAX_BYTES:
        raise PasswordSourceError(
            f"the password in {where} is longer than {_MAX_BYTES} bytes", hint="is it that file?"
        )
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    if not raw:
        raise PasswordSourceError(
            f"the password in {where} is empty", hint="openssl rand -base64 32"
        )
    if b"\n" in raw or b"\0" in raw:
        raise PasswordSourceError(
            f"{where} holds more than one line", hint="a password is one line of text"
        )
    return Secret(raw)


def check_new_password(password: Secret) -> str:
    """A remark ("" when there is none) on a password that is about to be used.

    Raises PasswordSourceError when it is too short to protect anything.
    """
    if len(password) < MIN_CHARACTERS:
        raise PasswordSourceError(
            f"the password is shorter than {MIN_CHARACTERS} characters",
            hint="openssl rand -base64 32",
        )
    if len(password) < GOOD_CHARACTERS:
        return f"the password is shorter than {GOOD_CHARACTERS} characters"
    return ""
