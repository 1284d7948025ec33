"""The keys that belong to the seal and the barrier themselves.

What lives here: names, and which entries are no barrier records. What never does: what is in them.
Source: ``docs/formats/barrier.md``.
"""

KEYRING = "core/keyring"
MASTER = "core/master"
"""The root key under the active data key; family ``vault``."""
ROOT_KEY = "core/root-key"
"""The same; family ``openbao`` since 2.3."""
SEAL_CONFIG = "core/seal-config"
STORED_KEYS = "core/hsm/barrier-unseal-keys"
SHAMIR_KEK = "core/shamir-kek"
CANARY = "core/canary-keyring"
OLD_BARRIER_INIT = "barrier/init"
REKEY_UNDO = "core/zvault-rekey"
"""The seal entries from before a rekey that has not ended (``rekey.py``); no server's entry."""
UNSEAL_KEYS_BACKUP = "core/unseal-keys-backup"
"""Shares encrypted with PGP keys, which a rekey of Vault has left."""

VAULT = "vault"
OPENBAO = "openbao"

PLAINTEXT_KEYS = frozenset(
    {
        SEAL_CONFIG,
        STORED_KEYS,
        "core/recovery-config",
        "core/recovery-key",
        "core/hsm/iv",
        "core/seal-gen-info",
        UNSEAL_KEYS_BACKUP,
        "core/recovery-keys-backup",
        "core/migration",
        "sys/uiconfig_plaintext",
        "core/lock",
        "core/initialize-lock",
        REKEY_UNDO,
    }
)
"""Entries outside the barrier. ``core/keyring`` is a record, but under the root key."""

RESERVED_KEYS = PLAINTEXT_KEYS | {KEYRING, OLD_BARRIER_INIT}
"""Never written through ``Barrier.apply``: under a data key they would lose the store."""


def root_key_path(family: str) -> str:
    """Where ``family`` keeps the root key for standbys."""
    return ROOT_KEY if family == OPENBAO else MASTER
