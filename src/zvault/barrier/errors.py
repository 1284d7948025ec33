"""What can go wrong between ciphertext and plaintext.

Invariant: each message names the entry (its key is not secret) and the cause, never content.
"""

from zvault.base.errors import PreconditionError, SealedError, UsageError, VerificationError


class UnreadableEntryError(VerificationError):
    """An entry is there and does not open; ``key`` and ``reason`` say which and why."""

    code = "unreadable-entry"

    def __init__(self, key: str, reason: str = "unknown", *, hint: str = "") -> None:
        super().__init__(
            f"{key} does not open: {reason}", hint=hint or "restore the entry from a backup"
        )
        self.key = key
        self.reason = reason


class WrongUnsealKeyError(VerificationError):
    """The key (or the shares) do not open this store."""

    code = "wrong-unseal-key"


class MissingEntryError(VerificationError):
    """An entry without which nothing opens is not there."""

    code = "missing-entry"


class NotInitializedError(SealedError):
    """No Vault was ever initialised in this store."""

    code = "not-initialized"


class AlreadyInitializedError(PreconditionError):
    """There is a Vault in this store."""

    code = "already-initialized"


class SealConfigError(VerificationError):
    """``core/seal-config`` is not what it must be."""

    code = "seal-config"


class UnsupportedSealError(PreconditionError):
    """A seal (KMS, several seals, Enterprise wrapping) that shares do not open."""

    code = "unsupported-seal"


class TooFewSharesError(UsageError):
    """Fewer distinct shares than the threshold."""

    code = "too-few-shares"


class ViewPathError(UsageError):
    """A relative key that would leave its view."""

    code = "view-path"
