"""The two calls of the mission: an hvac client, and a secret as environment variables.

What lives here: ``get_client`` and ``load_kv_to_env`` for code that must have environment
variables. What never does: ``SecretStore``, which renews, watches and puts nothing into the
environment; new code takes that.
Invariants: there is no default address and no fall-back to values that were there before; a call
sets every variable or none.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hvac

from zakupai_common.secret import Secret
from zakupai_common.vault.address import address_from
from zakupai_common.vault.auth import login_of
from zakupai_common.vault.connection import KvMount, VaultConnection
from zakupai_common.vault.declared import type_name
from zakupai_common.vault.errors import (
    LoginRefusedError,
    PermissionDeniedError,
    SecretAbsentError,
    VaultClientError,
    WrongTypeError,
)
from zakupai_common.vault.settings import DEFAULT_KV_MOUNT, VaultSettings

__all__ = ["VaultClientError", "get_client", "load_kv_to_env"]


def get_client() -> hvac.Client:
    """An hvac client whose token was just found good.

    VAULT_ADDR says where; VAULT_TOKEN, or the files of ``VaultSettings.from_environment``, who.
    Raises VaultClientError: an address or a way to log in is missing, Vault is sealed or away, the
    token or the login is refused.
    """
    return _connect().hvac


def load_kv_to_env(path: str = "zakupai/data/secrets") -> tuple[str, ...]:
    """Set each key of a secret as an environment variable; their names, sorted.

    ``path`` may begin with the mount, or not (then VAULT_KV_MOUNT, ``zakupai``), and may hold the
    ``data/`` of KV v2's API, or not; the mount says itself whether it is v1 or v2. Old values are
    replaced. Numbers and booleans are set as JSON writes them.
    Raises VaultClientError, and then no variable is changed.
    """
    vault = _connect()
    try:
        content = _read(vault, path.strip("/"))
    finally:
        vault.close()
    variables = {key: _as_text(path, key, value) for key, value in content.items()}
    os.environ.update(variables)
    return tuple(sorted(variables))


def _connect() -> VaultConnection:
    address = address_from(os.environ)
    token = os.environ.get("VAULT_TOKEN", "")
    if not token:
        settings = VaultSettings.from_environment()
        vault = VaultConnection.of(settings)
        return _with_token(vault, lambda: login_of(settings)(vault).token)
    ca_file = os.environ.get("VAULT_CACERT")
    vault = VaultConnection(
        address,
        ca_file=Path(ca_file) if ca_file else None,
        namespace=os.environ.get("VAULT_NAMESPACE", ""),
    )
    return _with_token(vault, lambda: _proven(vault, Secret(token)))


def _with_token(vault: VaultConnection, token: Callable[[], Secret[str]]) -> VaultConnection:
    try:
        vault.use(token())
    except VaultClientError:
        vault.close()
        raise
    return vault


def _proven(vault: VaultConnection, token: Secret[str]) -> Secret[str]:
    vault.use(token)
    try:
        vault.lookup_self()
    except PermissionDeniedError as denied:
        refusal = f"the token in VAULT_TOKEN is dead: {denied.message}"
    else:
        return token
    raise LoginRefusedError(refusal, hint="set a good one")


def _read(vault: VaultConnection, path: str) -> Mapping[str, Any]:
    mount, rest = _locate(vault, path)
    if not rest:
        raise SecretAbsentError(f"{path!r} is a mount and names no secret in it")
    if mount.version == 2:
        return vault.read_kv(mount, rest.removeprefix("data/"))
    try:
        return vault.read_kv(mount, rest)
    except SecretAbsentError:
        if not rest.startswith("data/"):
            raise
    # the call form for v2, on a mount that is v1
    return vault.read_kv(mount, rest.removeprefix("data/"))


def _locate(vault: VaultConnection, path: str) -> tuple[KvMount, str]:
    """The mount, and what is left of the path."""
    try:
        mount = vault.mount_of(path)
    except PermissionDeniedError as denied:
        # Vault says "denied" for what is no mount at all
        first_denied = denied
    else:
        return mount, path.removeprefix(mount.path).lstrip("/")
    default = os.environ.get("VAULT_KV_MOUNT") or DEFAULT_KV_MOUNT
    if path.startswith(f"{default}/"):
        raise first_denied
    return vault.mount_of(f"{default}/{path}"), path


def _as_text(path: str, key: str, value: Any) -> str:
    if not key or "=" in key or "\0" in key:
        raise WrongTypeError(f"{path} has a key that cannot name an environment variable")
    text = value if isinstance(value, str) else json.dumps(value)
    if value is None or isinstance(value, dict | list) or "\0" in text:
        raise WrongTypeError(
            f"{path}, key {key!r}, holds a {type_name(value)}: no environment variable can"
        )
    return text
