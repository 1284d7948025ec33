"""Secrets from Vault that stay present: declare, start, read.

What lives here: the public names.
"""

from zakupai_common.vault.declared import Declared
from zakupai_common.vault.errors import (
    LoginRefusedError,
    NotDeclaredError,
    PermissionDeniedError,
    SecretAbsentError,
    SettingsError,
    StaleSecretError,
    StartError,
    VaultClientError,
    VaultSealedError,
    VaultUnavailableError,
    WrappingTokenSpentError,
    WrongTypeError,
)
from zakupai_common.vault.settings import VaultSettings
from zakupai_common.vault.store import Health, SecretStore
from zakupai_common.vault.upkeep import Pace

__all__ = [
    "Declared",
    "Health",
    "LoginRefusedError",
    "NotDeclaredError",
    "Pace",
    "PermissionDeniedError",
    "SecretAbsentError",
    "SecretStore",
    "SettingsError",
    "StaleSecretError",
    "StartError",
    "VaultClientError",
    "VaultSealedError",
    "VaultSettings",
    "VaultUnavailableError",
    "WrappingTokenSpentError",
    "WrongTypeError",
]
