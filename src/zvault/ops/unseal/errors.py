"""What may go wrong with key files, passwords, shares and the other end of a connection.

What lives here: one class per cause, so that a wrong password never looks like a broken file.
"""

from zvault.base.errors import (
    BusyError,
    PreconditionError,
    UsageError,
    VerificationError,
)


class KeyFileError(VerificationError):
    """The key file is not good for this; the subclass says why."""

    code = "key-file"


class NotAKeyFileError(KeyFileError):
    """The file is something else."""

    code = "key-file-format"


class KeyFileVersionError(KeyFileError):
    """A newer program wrote it."""

    code = "key-file-version"


class KeyFileTruncatedError(KeyFileError):
    """The end of the file is missing."""

    code = "key-file-truncated"


class KeyFileCorruptError(KeyFileError):
    """A bit of it changed since it was written."""

    code = "key-file-corrupt"


class KeyFileWeakenedError(KeyFileError):
    """Somebody lowered the number of iterations; refused before anything is derived."""

    code = "key-file-iterations-lowered"


class WrongPasswordError(KeyFileError):
    """The file is whole and the password does not open it."""

    code = "key-file-wrong-password"


class KeyFileSharesError(KeyFileError):
    """What is inside are not enough good shares for this Vault."""

    code = "key-file-shares"


class ForeignKeyFileError(KeyFileError):
    """The key file belongs to another Vault."""

    code = "key-file-foreign"


class PasswordSourceError(PreconditionError):
    """The password cannot be read where it should be."""

    code = "password-source"


class SharesSourceError(UsageError):
    """The shares cannot be read: a file of another shape, or bytes that are no share."""

    code = "shares-source"


class UntrustedPeerError(PreconditionError):
    """The other end is not proven to be our Vault; it got nothing."""

    code = "untrusted-peer"


class AgentRunningError(BusyError):
    """Another agent holds the run directory."""

    code = "unseal-agent-running"


class NotUnsealedError(VerificationError):
    """Everything was submitted and the Vault still says sealed."""

    code = "not-unsealed"
