"""What may go wrong between us and a Vault, as the operator should read it.

What lives here: one error class per cause. What never does: HTTP libraries, tokens, bodies.
"""

from zvault.base.errors import (
    NotFoundError,
    PreconditionError,
    SealedError,
    UnreachableError,
    UsageError,
    VerificationError,
)


class VaultAddressError(UsageError):
    """The address is not an http or https URL with a host."""

    code = "vault-address"


class VaultUnreachableError(UnreachableError):
    """Nobody answered, or the connection broke."""

    code = "vault-unreachable"


class VaultTlsError(UnreachableError):
    """The certificate is not the one we trust."""

    code = "vault-tls-not-trusted"


class VaultAnswerError(UnreachableError):
    """Something answered that is not a Vault, or a Vault that failed inside."""

    code = "vault-answer"


class VaultSealedError(SealedError):
    """The Vault is sealed."""

    code = "vault-sealed"


class VaultUninitializedError(SealedError):
    """The Vault has no keys yet."""

    code = "vault-uninitialized"


class VaultPermissionError(PreconditionError):
    """The token or login is not good for this."""

    code = "vault-permission-denied"


class VaultRefusedError(PreconditionError):
    """The Vault understood the request and said no (HTTP 400)."""

    code = "vault-request-refused"


class VaultNotFoundError(NotFoundError):
    """The path holds nothing (HTTP 404)."""

    code = "vault-not-found"


class UnsealKeyRefusedError(VerificationError):
    """The threshold was reached and the key the shares make does not open this Vault."""

    code = "unseal-key-refused"
