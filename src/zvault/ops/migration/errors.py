"""What can stop a migration. Every sentence names the cause; every hint names the next command."""

from zvault.base.errors import (
    BusyError,
    InterruptedRunError,
    PreconditionError,
    RolledBackError,
    SealedError,
    UnreachableError,
    VerificationError,
)


class MigrationRefusedError(PreconditionError):
    """The world is not as this migration needs it. Nothing was changed."""

    code = "migration-refused"


class PlanChangedError(PreconditionError):
    """The plan that was confirmed, or journalled, is not the plan that reality asks for."""

    code = "plan-changed"


class NotConfirmedError(PreconditionError):
    """A destructive command without its plan's id."""

    code = "not-confirmed"


class SecondOperatorError(BusyError):
    """Another zvault works on this site."""

    code = "second-operator"


class OpenRunError(BusyError):
    """A run stopped half-way and waits for ``resume`` or ``rollback``."""

    code = "open-run"


class NoOpenRunError(PreconditionError):
    """Nothing to resume."""

    code = "no-open-run"


class JournalCorruptError(VerificationError):
    """The journal was altered or damaged before its end."""

    code = "journal-corrupt"


class JournalTooNewError(PreconditionError):
    """The journal was written by a newer zvault."""

    code = "journal-too-new"


class MigrationRolledBackError(RolledBackError):
    """The run failed before its commit; the old stage serves again."""

    code = "migration-rolled-back"


class MigrationInterruptedError(InterruptedRunError):
    """The run stopped; the journal says how far."""

    code = "migration-interrupted"


class MarkerNotKeptError(VerificationError):
    """The store said yes to ``core/migration``, or to its removal, and did not do it."""

    code = "marker-not-kept"


class ForeignMarkerError(PreconditionError):
    """``core/migration`` of somebody else lies in the store."""

    code = "foreign-migration-marker"


class NotEmptyError(PreconditionError):
    """The destination already holds entries."""

    code = "destination-not-empty"


class StoresDifferError(VerificationError):
    """After the copy the destination is not what the source is."""

    code = "stores-differ"


class UnprovenStoreError(VerificationError):
    """The destination holds entries that the shares do not open."""

    code = "unproven-store"


class StillSealedError(SealedError):
    """The server stayed sealed."""

    code = "still-sealed"


class ServerSilentError(UnreachableError):
    """The server did not answer in time."""

    code = "server-silent"


class StillServingError(VerificationError):
    """A server that nobody recorded answers where the fenced one did."""

    code = "still-serving"


class HeldTooLongError(VerificationError):
    """Clients waited as long as the front door may hold them."""

    code = "held-too-long"


class ClientsNotMovedError(VerificationError):
    """Requests still arrive the old way, or the old way still answers."""

    code = "clients-not-moved"


class AuditNotProvenError(VerificationError):
    """The audit device is not what it must be, or writes no line."""

    code = "audit-not-proven"


class CanaryError(VerificationError):
    """Login, read or write of the canary failed."""

    code = "canary"


class StateLostError(VerificationError):
    """The site's state file is gone or old: the journal knows of a later commit."""

    code = "state-lost"


class RecoveryRefusedError(PreconditionError):
    """The source store is gone and nobody accepted what that loses."""

    code = "recovery-refused"
