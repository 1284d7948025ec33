"""Where Vault is and how the service proves who it is: settings, none of them secret.

What lives here: the settings and their names in the environment. What never does: I/O, a default
address. Invariant: credentials come from files, never from the environment.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from zakupai_common.vault.errors import SettingsError

DEFAULT_KV_MOUNT = "zakupai"
DEFAULT_AUTH_MOUNT = "approle"


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """How to reach Vault and log in.

    Name ``role_id_file`` with ``secret_id_file``, ``wrapped_secret_id_file`` or both, or else a
    ``token_file``. With both, the wrapped secret_id is opened once and kept in
    ``secret_id_file``. ``ca_file`` holds the only certificates that are trusted (the system's when
    None). ``timeout_seconds`` bounds each request as a whole.
    Raises SettingsError when this is no way to log in.
    """

    address: str
    role_id_file: Path | None = None
    secret_id_file: Path | None = None
    wrapped_secret_id_file: Path | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    auth_mount: str = DEFAULT_AUTH_MOUNT
    kv_mount: str = DEFAULT_KV_MOUNT
    namespace: str = ""
    timeout_seconds: float = 5.0

    def __post_init__(self) -> None:
        check_address(self.address)
        if self.timeout_seconds <= 0:
            raise SettingsError("the time-out must be more than 0 seconds")
        if self.token_file is not None:
            if self.role_id_file or self.secret_id_file or self.wrapped_secret_id_file:
                raise SettingsError(
                    "both a token file and AppRole files are named", hint="name one of the two"
                )
        elif self.role_id_file is None:
            raise SettingsError(
                "no way to log in is named",
                hint="VAULT_ROLE_ID_FILE with VAULT_SECRET_ID_FILE, or VAULT_TOKEN_FILE",
            )
        elif self.secret_id_file is None and self.wrapped_secret_id_file is None:
            raise SettingsError(
                "a role_id without a secret_id is named",
                hint="VAULT_SECRET_ID_FILE or VAULT_WRAPPED_SECRET_ID_FILE",
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "VaultSettings":
        """VAULT_ADDR, VAULT_ROLE_ID_FILE, VAULT_SECRET_ID_FILE, VAULT_WRAPPED_SECRET_ID_FILE,
        VAULT_TOKEN_FILE, VAULT_CACERT, VAULT_AUTH_MOUNT, VAULT_KV_MOUNT, VAULT_NAMESPACE.

        Raises SettingsError, also when VAULT_ADDR is missing: there is no default address.
        """
        found = os.environ if environment is None else environment

        def file(name: str) -> Path | None:
            return Path(found[name]) if found.get(name) else None

        return cls(
            address_from(found),
            file("VAULT_ROLE_ID_FILE"),
            file("VAULT_SECRET_ID_FILE"),
            file("VAULT_WRAPPED_SECRET_ID_FILE"),
            file("VAULT_TOKEN_FILE"),
            file("VAULT_CACERT"),
            found.get("VAULT_AUTH_MOUNT") or DEFAULT_AUTH_MOUNT,
            found.get("VAULT_KV_MOUNT") or DEFAULT_KV_MOUNT,
            found.get("VAULT_NAMESPACE") or "",
        )


def address_from(environment: Mapping[str, str]) -> str:
    """VAULT_ADDR. Raises SettingsError when it is missing or no address."""
    address = environment.get("VAULT_ADDR", "")
    if not address:
        raise SettingsError(
            "VAULT_ADDR is not set, and no address is assumed",
            hint="for example VAULT_ADDR=https://vault.internal:8200",
        )
    return check_address(address)


def check_address(address: str) -> str:
    """The address without a trailing slash. Raises SettingsError, which does not quote it."""
    try:
        parts = urlsplit(address)
        good = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and parts.username is None
            and parts.path in ("", "/")
            and not parts.query
            and not parts.fragment
        )
    except ValueError:
        good = False
    if not good:
        raise SettingsError("Vault's address is not of the form http(s)://HOST:PORT")
    return address.rstrip("/")
