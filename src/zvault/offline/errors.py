"""What can go wrong when a store is read without a server.

Invariant: a message names keys and paths, never content.
"""

from zvault.barrier.errors import UnreadableEntryError, UnsupportedSealError
from zvault.base.errors import NotFoundError, UsageError, VerificationError
from zvault.records.errors import RecordError
from zvault.storage.errors import CorruptEntryError

ENTRY_ERRORS = (UnreadableEntryError, UnsupportedSealError, CorruptEntryError, RecordError)
"""What one damaged entry raises when it is read; anything else is about the store."""


class SecretGoneError(NotFoundError):
    """The secret, or this version of it, cannot be read: absent, deleted or destroyed."""

    code = "secret-gone"


class NoSuchMountError(NotFoundError):
    """No mount of the store covers the path."""

    code = "no-such-mount"


class SecretPathError(UsageError):
    """A path or version that cannot name a secret."""

    code = "secret-path"


class ForeignShareError(VerificationError):
    """One of the shares given is not of this store, and the others open it."""

    code = "foreign-share"


class MountTableError(VerificationError):
    """The store opens, but its mount tables do not say where anything is."""

    code = "mount-table"
