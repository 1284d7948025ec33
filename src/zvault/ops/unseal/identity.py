"""Which Vault a store is.

What lives here: threshold and number of shares from ``core/seal-config``, the fingerprint of the
seal, and the cluster's name where shares open the store. What never does: a proof (``Prove``).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from zvault.base.errors import VerificationError
from zvault.base.secret import Secret
from zvault.offline.open import open_offline
from zvault.ops.unseal.errors import KeyFileSharesError
from zvault.storage.api import Storage

SEAL_CONFIG = "core/seal-config"
STORED_KEYS = "core/hsm/barrier-unseal-keys"
CLUSTER_INFO = "core/cluster/local/info"


@dataclass(frozen=True, slots=True)
class SealFacts:
    """``fingerprint``: SHA-256 of the stored keys' ciphertext; new after a rekey, else constant."""

    threshold: int
    total: int
    fingerprint: str


async def read_seal_facts(storage: Storage) -> SealFacts:
    """Raises KeyFileSharesError when the store is none that shares open; StorageError."""
    config, keys = await storage.get(SEAL_CONFIG), await storage.get(STORED_KEYS)
    if config is None or keys is None:
        missing = SEAL_CONFIG if config is None else STORED_KEYS
        raise KeyFileSharesError(
            f"{storage.url} has no {missing}, so shares do not open it",
            hint="name the Vault's storage; is it initialised?",
        )
    try:
        fields = json.loads(config)
        kind = fields.get("type") or "shamir"
        threshold, total = int(fields["secret_threshold"]), int(fields["secret_shares"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise KeyFileSharesError(
            f"{SEAL_CONFIG} of {storage.url} cannot be read", hint="restore it from a backup"
        ) from None
    if kind != "shamir" or not 1 <= threshold <= total <= 255:
        raise KeyFileSharesError(
            f"{storage.url} has a seal of type {kind} that key files do not serve",
            hint="key files are for Shamir seals",
        )
    return SealFacts(threshold, total, hashlib.sha256(keys).hexdigest())


async def read_cluster(storage: Storage, shares: Sequence[Secret]) -> tuple[str, str]:
    """The cluster's name and id, for people; empty when the store does not say.

    Only a label: damage elsewhere in the store is not this function's to report.
    """
    try:
        store = await open_offline(storage, shares)
        body = json.loads(await store.barrier.get(CLUSTER_INFO) or b"{}")
    except (VerificationError, ValueError, RecursionError):
        return "", ""
    if not isinstance(body, dict):
        return "", ""
    return str(body.get("name") or ""), str(body.get("id") or "")
