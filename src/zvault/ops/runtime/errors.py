"""What can go wrong with a process that zvault runs."""

from zvault.base.errors import PreconditionError, UnreachableError, VerificationError


class ServerStartError(UnreachableError):
    """The process ended at once, or is not there to be spoken to."""

    code = "server-start"


class StopTimeoutError(UnreachableError):
    """The process did not end in time after SIGTERM."""

    code = "stop-timeout"


class BrokenRecordError(VerificationError):
    """The record of a process cannot be read."""

    code = "broken-process-record"


class OtherConfigurationError(PreconditionError):
    """A process of another configuration is running."""

    code = "other-configuration"
