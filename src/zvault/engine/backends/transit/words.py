"""What transit says when it refuses.

What lives here: the sentences that several operations share, and the two shapes of refusal. Pure.
Source: ``docs/api/transit.md``.
"""

from zvault.engine.errors import InternalEngineError

NO_CONTEXT = (
    "missing 'context' for key derivation; the key was created using a derived key, which means "
    "additional, per-request information must be included in order to perform operations with "
    "the key"
)
TOO_OLD = "ciphertext or signature version is disallowed by policy (too old)"
NO_ENCRYPTION_KEY = "encryption key not found"
NO_BATCH = "missing batch input to process"
PREFIX = "vault:v"


class MistakeError(Exception):
    """An item's input is wrong: 400, or the item's ``error`` in a batch."""


class FailedError(Exception):
    """What Vault calls an internal error though a caller may have caused it: 500."""


def internal(text: str) -> InternalEngineError:
    """The 500 of a handler that failed, in Vault's wrapping."""
    return InternalEngineError(f"1 error occurred:\n\t* {text}\n\n")
