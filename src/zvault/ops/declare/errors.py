"""What may go wrong with the first set-up of a Vault.

What lives here: one class per cause. What never does: a share, a token, a policy's text.
"""

from zvault.base.errors import InterruptedRunError, PreconditionError, UsageError, VerificationError


class AlreadyInitializedVaultError(PreconditionError):
    """The server has keys; they are made once."""

    code = "vault-already-initialized"


class KeysFilePlaceError(PreconditionError):
    """Nothing can be kept where the keys were to go; no keys were made."""

    code = "keys-file-place"


class KeysLostError(VerificationError):
    """The server may have made keys that nobody holds."""

    code = "keys-lost"


class RekeyUndecidedError(VerificationError):
    """Whether the new shares are in force cannot be found out now."""

    code = "rekey-undecided"


class UnprovenKeysError(VerificationError):
    """Keys were made and kept, and are not shown to open the store."""

    code = "keys-unproven"


class DeclarationFileError(UsageError):
    """A file that the declaration names cannot be read or is empty."""

    code = "declaration-file"


class DeclarationConflictError(PreconditionError):
    """Something else is where the declaration wants to be; it is left as it is."""

    code = "declaration-conflict"


class HalfDeclaredError(InterruptedRunError):
    """Some of the declaration is applied; the same command goes on."""

    code = "half-declared"


class DeclarationUnmetError(VerificationError):
    """Everything was done, and what reads back is not what was declared."""

    code = "declaration-unmet"
