"""How a service proves who it is: AppRole from files, a wrapped secret_id, a token file.

What lives here: reading the credential files anew for every login, so that a rotated one counts
at once; opening a wrapped secret_id. What never does: a retry.
Invariants: credentials that Vault refused are not sent again until their file changes or a pause
is over, since five refusals within 15 minutes lock the role out for everybody who uses it; a
wrapping token that somebody else opened is an alarm, not an error among others.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from zakupai_common.secret import Secret
from zakupai_common.vault.connection import Grant, VaultConnection
from zakupai_common.vault.errors import (
    AnswerError,
    LoginRefusedError,
    PermissionDeniedError,
    RequestRefusedError,
    SettingsError,
    WrappingTokenSpentError,
)
from zakupai_common.vault.private_file import (
    WRITABLE_BY_STRANGERS,
    read_private,
    write_private,
)
from zakupai_common.vault.settings import VaultSettings

logger = logging.getLogger("zakupai_common.vault")
REFUSED_PAUSE_SECONDS = 300.0


class Login(Protocol):
    """A way to a token."""

    own: bool
    """The token is ours, so we end it when we stop."""

    def __call__(self, vault: VaultConnection) -> Grant:
        """A token. Raises LoginRefusedError, SettingsError or VaultUnavailableError."""


def login_of(settings: VaultSettings, clock: Callable[[], float] = time.monotonic) -> Login:
    """The way that the settings name."""
    if settings.token_file is not None:
        return TokenFileLogin(settings.token_file)
    assert settings.role_id_file is not None
    secret_id = SecretIdSource(
        settings.secret_id_file, settings.wrapped_secret_id_file, settings.auth_mount
    )
    return AppRoleLogin(settings.role_id_file, secret_id, settings.auth_mount, clock)


class TokenFileLogin:
    """A token that somebody else keeps in a file, for example Vault's agent."""

    own = False

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, vault: VaultConnection) -> Grant:
        """The token in the file, with the life that Vault says it has."""
        token = read_private(self._file, "token")
        vault.use(token)
        refusal: str
        try:
            known = vault.lookup_self()
        except PermissionDeniedError as cause:
            refusal = cause.message
        else:
            seconds = known.get("ttl")
            if isinstance(seconds, bool) or not isinstance(seconds, int | float):
                raise AnswerError("the token's lookup says nothing of its ttl")
            return Grant(token, float(seconds), known.get("renewable") is True, {})
        raise LoginRefusedError(
            f"the token in {self._file} is dead: {refusal}", hint="put a fresh one into the file"
        )


class AppRoleLogin:
    """role_id and secret_id from files."""

    own = True

    def __init__(
        self,
        role_id_file: Path,
        secret_id: "SecretIdSource",
        mount: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._role_id_file, self._secret_id, self._mount = role_id_file, secret_id, mount
        self._clock = clock
        self._refused: tuple[Secret[str], Secret[str]] | None = None
        self._refusal = ""
        self._again_at = 0.0

    def __call__(self, vault: VaultConnection) -> Grant:
        """Log in with what the files hold now."""
        role_id = read_private(self._role_id_file, "role_id", forbidden_bits=WRITABLE_BY_STRANGERS)
        secret_id = self._secret_id.read(vault)
        if (role_id, secret_id) == self._refused and self._clock() < self._again_at:
            raise LoginRefusedError(self._refusal, hint="deliver a new secret_id")
        try:
            return vault.approle_login(role_id, secret_id, self._mount)
        except (RequestRefusedError, PermissionDeniedError) as cause:
            self._refusal = f"the AppRole login was refused: {cause.message}"
        self._refused = (role_id, secret_id)
        self._again_at = self._clock() + REFUSED_PAUSE_SECONDS
        raise LoginRefusedError(
            self._refusal, hint="the secret_id is wrong, expired or used up: deliver a new one"
        )


class SecretIdSource:
    """The secret_id: from its file, or out of a wrapping token that is opened once."""

    def __init__(self, file: Path | None, wrapped_file: Path | None, mount: str) -> None:
        self._file, self._wrapped_file, self._mount = file, wrapped_file, mount
        self._opened: Secret[str] | None = None

    def read(self, vault: VaultConnection) -> Secret[str]:
        """The secret_id that is delivered now. A new wrapping token wins over an older secret_id.

        Raises WrappingTokenSpentError, SettingsError.
        """
        if self._wrapped_file is not None and self._wrapped_file.exists():
            self._open(vault, self._wrapped_file)
        if self._file is not None:
            return read_private(self._file, "secret_id")
        if self._opened is None:
            raise SettingsError(
                f"no wrapped secret_id lies at {self._wrapped_file}", hint="deliver one"
            )
        return self._opened

    def _open(self, vault: VaultConnection, wrapped_file: Path) -> None:
        """Open the wrapping token; of several processes one does, the others wait for its file."""
        try:
            descriptor = os.open(wrapped_file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return  # another process was faster
        except OSError as cause:
            raise SettingsError(f"{wrapped_file} cannot be opened: {cause.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink == 0:
                return
            wrapping_token = read_private(wrapped_file, "wrapped secret_id")
            secret_id = self._unwrap(vault, wrapping_token, wrapped_file)
            if self._file is not None:
                write_private(self._file, secret_id)
            self._opened = secret_id
            wrapped_file.unlink()
        finally:
            os.close(descriptor)

    def _unwrap(
        self, vault: VaultConnection, wrapping_token: Secret[str], wrapped_file: Path
    ) -> Secret[str]:
        try:
            origin = vault.wrapping_origin(wrapping_token)
            if _is_secret_id_path(origin, self._mount):
                secret_id = vault.unwrap(wrapping_token).get("secret_id")
                if isinstance(secret_id, str) and secret_id:
                    return Secret(secret_id)
            alarm = f"the token in {wrapped_file} wraps {origin or 'nothing'}, no secret_id"
        except (RequestRefusedError, PermissionDeniedError) as cause:
            alarm = f"the wrapped secret_id in {wrapped_file} was opened before: {cause.message}"
        hint = (
            "unless it merely expired, somebody else holds this secret_id: destroy its accessor, "
            "look into the audit log who unwrapped it, deliver a new one"
        )
        logger.critical("%s; %s", alarm, hint)
        raise WrappingTokenSpentError(alarm, hint=hint)


def _is_secret_id_path(path: str, mount: str) -> bool:
    before, after = f"auth/{mount.strip('/')}/role/", "/secret-id"
    role = path[len(before) : -len(after)]
    return path.startswith(before) and path.endswith(after) and bool(role) and "/" not in role
