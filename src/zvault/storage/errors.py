"""What can go wrong with a store, each with the backend, the place, the key and the cause.

What lives here: the storage room's errors. What never does: HTTP or exit status.
Invariant: no message carries a value, a credential or a signed URL; keys and bucket names are no
secrets (a file listing shows them).
"""

from zvault.base import errors


class StorageError(errors.UnreachableError):
    """A backend did not do what was asked; ``cause`` says why."""

    code = "storage"

    def __init__(
        self, cause: str, *, provider: str, store: str, key: str = "", hint: str = ""
    ) -> None:
        where = f"{provider} store {store}" + (f", key {key!r}" if key else "")
        super().__init__(f"{where}: {cause}", hint=hint or self.default_hint)
        self.provider = provider
        self.store = store
        self.key = key
        self.cause = cause

    default_hint = "run the command again; nothing was acknowledged that did not happen"


class StoreUnreachableError(StorageError):
    """Nobody answers at the endpoint, or not in time."""

    code = "storage-unreachable"
    default_hint = "check the endpoint's host and port, the network and the provider's status page"


class StoreThrottledError(StorageError):
    """The provider kept answering 500, 503 or 429 until the deadline."""

    code = "storage-throttled"
    default_hint = "wait and run again, or lower the parallelism"


class AccessDeniedError(StorageError):
    """The credentials are known but may not do this."""

    code = "storage-access-denied"
    default_hint = "give the key list, read, write and delete rights on this bucket and prefix"


class UnknownKeyIdError(AccessDeniedError):
    """The provider does not know the access key id."""

    code = "storage-unknown-key-id"
    default_hint = "check the access key id: it belongs to another account or was deleted"


class WrongSecretError(AccessDeniedError):
    """The access key id is known, the secret does not fit it."""

    code = "storage-wrong-secret"
    default_hint = "check the secret key: it does not fit this access key id"


class WrongRegionError(StorageError):
    """The bucket or endpoint is in another region."""

    code = "storage-wrong-region"
    default_hint = "set the region that the endpoint's name and the bucket carry"


class NoSuchBucketError(StorageError):
    """The bucket does not exist."""

    code = "storage-no-such-bucket"
    default_hint = "check the bucket's name, or create the bucket first"


class DiskFullError(StorageError):
    """No space or no inodes left."""

    code = "storage-disk-full"
    default_hint = "free space on the file system and run again"


class BrokenStoreError(StorageError):
    """A sync to disk failed after a rename, so what is durable is unknown."""

    code = "storage-broken"
    default_hint = "restart the server; it reads back from disk what is true"


class UnreplayedLogError(errors.PreconditionError):
    """A server died before all it had acknowledged was durable in the tree; its log has it."""

    code = "storage-unreplayed-log"

    def __init__(self, store: str, cause: str, hint: str = "") -> None:
        super().__init__(
            f"{store} is not whole by itself: {cause}",
            hint=hint or "start `zvault server` on it again, or run `zvault store settle` on it",
        )


class DamagedLogError(errors.VerificationError):
    """The file store's log cannot be read back as it was written."""

    code = "storage-damaged-log"

    def __init__(self, store: str, cause: str) -> None:
        super().__init__(
            f"the log of {store} is damaged: {cause}",
            hint="restore a backup; what lies in the tree may be older than what was acknowledged",
        )


class CorruptEntryError(errors.VerificationError):
    """An entry is there and is not what a Vault writes."""

    code = "storage-corrupt-entry"

    def __init__(self, cause: str, *, store: str, key: str, hint: str = "") -> None:
        super().__init__(
            f"entry {key!r} of {store} is corrupt: {cause}",
            hint=hint or "restore this entry from a backup",
        )
        self.store = store
        self.key = key
        self.cause = cause


class InvalidKeyError(errors.UsageError):
    """A key that the backend cannot hold."""

    code = "storage-invalid-key"

    def __init__(self, key: str, cause: str) -> None:
        super().__init__(
            f"storage key {key!r} is refused: {cause}",
            hint="use another path; storage keys are clean, printable UTF-8 without '..'",
        )
        self.key = key
        self.cause = cause


class ReadOnlyStoreError(errors.UsageError):
    """A write to a store that was opened for reading, or that can only be read."""

    code = "storage-read-only"

    def __init__(self, store: str) -> None:
        super().__init__(
            f"{store} is open for reading only",
            hint="name another destination, or open it for writing",
        )


class StoreLockedError(errors.BusyError):
    """Another process has the store open for writing."""

    code = "storage-locked"

    def __init__(self, store: str, holder: str) -> None:
        super().__init__(
            f"{store} is locked by {holder}",
            hint="stop that process first; two writers would destroy the store",
        )
        self.holder = holder


class StoreNotFoundError(errors.NotFoundError):
    """The path a store was asked for does not exist, or is no store."""

    code = "storage-not-found"


class StoreUrlError(errors.UsageError):
    """A store URL that nobody understands."""

    code = "store-url"


class SnapshotError(errors.VerificationError):
    """A raft snapshot that is damaged or no raft snapshot."""

    code = "raft-snapshot"


class DestinationNotEmptyError(errors.PreconditionError):
    """The destination of a copy holds something."""

    code = "copy-destination-not-empty"


class EmptySourceError(errors.PreconditionError):
    """The source of a copy holds nothing, so it is hardly what was meant."""

    code = "copy-source-empty"


class CopyJournalError(errors.PreconditionError):
    """A copy journal of another copy, a newer version, or damaged."""

    code = "copy-journal"


class CopyInterruptedError(errors.InterruptedRunError):
    """The operator stopped a copy."""

    code = "copy-interrupted"


class CopyProofError(errors.VerificationError):
    """Source and destination are not equal after the copy."""

    code = "copy-proof"


class S3OptionsError(errors.UsageError):
    """Options of an S3 store that are missing, contradict each other or are unsafe."""

    code = "s3-options"
