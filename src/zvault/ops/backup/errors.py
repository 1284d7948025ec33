"""What may go wrong with backups: one class a cause."""

from zvault.base.errors import (
    NotFoundError,
    PreconditionError,
    UnreachableError,
    UsageError,
    VerificationError,
)


class BackupError(VerificationError):
    """The archive is not what a backup must be; the subclass says why."""

    code = "backup"


class BackupFormatError(BackupError):
    """The file is no backup, or a newer program wrote it."""

    code = "backup-format"


class BackupTruncatedError(BackupError):
    """The end of the archive is missing."""

    code = "backup-truncated"


class BackupDamagedError(BackupError):
    """An entry differs from the manifest, or the compression's own checksum fails."""

    code = "backup-damaged"


class UnsafeArchiveError(BackupError):
    """The archive holds what a backup never holds: a link, a path outside, a size bomb."""

    code = "backup-unsafe"


class BackupUnopenedError(BackupError):
    """The archive is whole, and something in the store it holds does not decrypt or fit."""

    code = "backup-unopened"


class StoreChangingError(PreconditionError):
    """The store never stood still long enough for a backup of one moment."""

    code = "backup-store-changing"


class HoldError(PreconditionError):
    """The server's writes cannot be held."""

    code = "backup-hold"


class DestinationFilledError(PreconditionError):
    """The place to restore into is not empty."""

    code = "restore-destination-not-empty"


class BackupNotFoundError(NotFoundError):
    """There is no backup of that name."""

    code = "backup-not-found"


class BackupPlaceError(UnreachableError):
    """The place for backups cannot be read or written."""

    code = "backup-place"


class PruneRefusedError(UsageError):
    """The plan to prune was not confirmed, or is not the one that was shown."""

    code = "backup-prune-plan"
