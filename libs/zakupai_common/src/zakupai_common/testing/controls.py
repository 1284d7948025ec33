"""What a test can do to a Vault, whichever it is.

What lives here: the protocol of the controls and the files of a service's login. What never does:
HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from zakupai_common.secret import Secret
from zakupai_common.vault.private_file import write_private
from zakupai_common.vault.settings import VaultSettings


@dataclass(frozen=True, slots=True)
class Role:
    """An AppRole role and the one policy that is its own."""

    name: str
    role_id: Secret[str]


class VaultControls(Protocol):
    """A Vault with a KV mount and AppRole, in the hands of a test. Paths are below the mount."""

    address: str
    kv_mount: str

    def put(self, path: str, data: Mapping[str, Any]) -> None:
        """Write a secret."""

    def delete(self, path: str) -> None:
        """Delete the newest version of a secret."""

    def make_role(
        self,
        name: str,
        reads: Sequence[str],
        *,
        token_seconds: int = 3600,
        token_max_seconds: int = 0,
        secret_id_seconds: int = 0,
        secret_id_uses: int = 0,
    ) -> Role:
        """A role whose policy lets it read these paths; ``*`` at the end of one means all below."""

    def allow(self, role: Role, reads: Sequence[str]) -> None:
        """Let its tokens, the living ones too, read these paths and nothing else."""

    def make_secret_id(self, role: Role) -> Secret[str]:
        """A new secret_id."""

    def wrap_secret_id(self, role: Role) -> Secret[str]:
        """A new secret_id, wrapped: the wrapping token."""

    def unwrap(self, wrapping_token: Secret[str]) -> None:
        """Open it, as a thief would."""

    def destroy_secret_ids(self, role: Role) -> None:
        """No secret_id of this role is good any more."""

    def revoke_tokens(self, role: Role) -> None:
        """No token of this role is good any more."""

    def live_tokens(self, role: Role) -> int:
        """How many tokens of this role are good now."""

    def seal(self) -> None:
        """Seal it."""

    def unseal(self) -> None:
        """Unseal it."""


def deliver(vault: VaultControls, role: Role, directory: Path, **more: Any) -> VaultSettings:
    """Put role_id and a fresh secret_id into files; settings that log in with them."""
    role_id_file = directory / f"{role.name}.role-id"
    secret_id_file = directory / f"{role.name}.secret-id"
    write_private(role_id_file, role.role_id)
    write_private(secret_id_file, vault.make_secret_id(role))
    return VaultSettings(
        vault.address, role_id_file, secret_id_file, kv_mount=vault.kv_mount, **more
    )
