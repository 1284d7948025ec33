"""Where Vault is and how the service proves who it is: settings, none of them secret.

What lives here: the settings and their names in the environment. What never does: I/O, a default
address. Invariant: credentials come from files, never from the environment.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zakupai_common.vault.address import check_address, check_names
from zakupai_common.vault.errors import SettingsError

DEFAULT_KV_MOUNT = "zakupai"
DEFAULT_AUTH_MOUNT = "approle"


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """How to reach Vault and log in.

    Either ``address``, or ``address_file``, which is read before each request, for a Vault that
    moves. Name ``role_id_file`` with ``secret_id_file``, ``wrapped_secret_id_file`` or both, or
    else a ``token_file``. With both, the wrapped secret_id is opened once and kept in
    ``secret_id_file``. ``ca_file`` holds the only certificates that are trusted (the system's when
    None). ``timeout_seconds`` bounds each request as a whole.
    Raises SettingsError when this is no way to log in.
    """

    address: str = ""
    role_id_file: Path | None = None
    secret_id_file: Path | None = None
    wrapped_secret_id_file: Path | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    auth_mount: str = DEFAULT_AUTH_MOUNT
    kv_mount: str = DEFAULT_KV_MOUNT
    namespace: str = ""
    timeout_seconds: float = 5.0
    address_file: Path | None = None

    def __post_init__(self) -> None:
        check_names(self.address, self.address_file)
        if self.address:
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
        """VAULT_ADDR or VAULT_ADDR_FILE, VAULT_ROLE_ID_FILE, VAULT_SECRET_ID_FILE,
        VAULT_WRAPPED_SECRET_ID_FILE, VAULT_TOKEN_FILE, VAULT_CACERT, VAULT_AUTH_MOUNT,
        VAULT_KV_MOUNT, VAULT_NAMESPACE.

        Raises SettingsError, also without an address: there is no default.
        """
        found = os.environ if environment is None else environment

        def file(name: str) -> Path | None:
            return Path(found[name]) if found.get(name) else None

        return cls(
            found.get("VAULT_ADDR", ""),
            file("VAULT_ROLE_ID_FILE"),
            file("VAULT_SECRET_ID_FILE"),
            file("VAULT_WRAPPED_SECRET_ID_FILE"),
            file("VAULT_TOKEN_FILE"),
            file("VAULT_CACERT"),
            found.get("VAULT_AUTH_MOUNT") or DEFAULT_AUTH_MOUNT,
            found.get("VAULT_KV_MOUNT") or DEFAULT_KV_MOUNT,
            found.get("VAULT_NAMESPACE") or "",
            address_file=file("VAULT_ADDR_FILE"),
        )
