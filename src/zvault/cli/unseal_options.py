"""Options that several commands about unsealing share, and what they mean.

What lives here: where a password and shares come from, and to whom shares may go, as options.
What never does: the work.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from zvault.base.errors import UsageError
from zvault.ops.unseal.passwords import (
    DescriptorPassword,
    FilePassword,
    PasswordSource,
    PromptPassword,
    credential_password,
)
from zvault.ops.unseal.peer import PeerRules, resolve_owner

DEFAULT_KEY_FILE = Path("monitoring/vault/creds/vault-unseal-key.enc")
DEFAULT_ADDRESS = "http://127.0.0.1:8200"

KeyFileOption = Annotated[Path, typer.Option("--key-file", help="The key file.")]
PasswordFileOption = Annotated[
    Path | None, typer.Option("--password-file", help="The password's file, mode at most 0600.")
]
PasswordFdOption = Annotated[
    int | None, typer.Option("--password-fd", help="An open descriptor to read the password from.")
]
CredentialOption = Annotated[
    str | None, typer.Option("--password-credential", help="Name of a systemd credential.")
]
SharesFileOption = Annotated[
    Path | None,
    typer.Option("--shares-file", help="JSON list of base64 shares, mode at most 0600."),
]
AddressOption = Annotated[str, typer.Option("--address", help="The Vault's own address.")]
CaFileOption = Annotated[
    Path | None, typer.Option("--ca-file", help="The only CA that is trusted for https.")
]
PinOption = Annotated[
    list[str] | None, typer.Option("--spki-pin", help="SHA-256 of the server's public key, hex.")
]
OwnerOption = Annotated[
    str | None,
    typer.Option("--owner", help="User whose process must own the loopback port (default: you)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def password_source(
    file: Path | None, descriptor: int | None, credential: str | None, *, new: bool = False
) -> PasswordSource:
    """The one source that was named; a prompt when none was. Raises UsageError for two."""
    if sum(option is not None for option in (file, descriptor, credential)) > 1:
        raise UsageError(
            "the password can come from one place only",
            hint="give one of --password-file, --password-fd, --password-credential",
        )
    if file is not None:
        return FilePassword(file)
    if descriptor is not None:
        return DescriptorPassword(descriptor)
    if credential is not None:
        return credential_password(credential, os.environ)
    return PromptPassword(repeat=new)


def peer_rules(
    address: str,
    owner: str | None,
    ca_file: Path | None,
    pins: list[str] | None,
    find_pid: Callable[[], int | None] | None = None,
) -> PeerRules:
    """To whom shares may go. Raises UsageError for a user that does not exist."""
    return PeerRules(address, resolve_owner(owner), find_pid, ca_file, tuple(pins or ()))
