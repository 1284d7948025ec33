"""What can go wrong with the front door; each sentence names the cause."""

from zvault.base.errors import PreconditionError, UnreachableError, VerificationError


class FrontDoorSettingsError(PreconditionError):
    """The settings cannot work: a file is missing, an address is none, two of them are equal."""

    code = "frontdoor-settings"


class FrontDoorMissingError(PreconditionError):
    """No Caddy program was found."""

    code = "frontdoor-missing"


class FrontDoorBusyError(PreconditionError):
    """A front door with another configuration already runs from this run directory."""

    code = "frontdoor-busy"


class FrontDoorPortError(PreconditionError):
    """Something else listens on an address that the front door needs."""

    code = "frontdoor-port"


class FrontDoorDownError(UnreachableError):
    """The front door does not run, ended at once or does not answer."""

    code = "frontdoor-down"


class FrontDoorCheckError(VerificationError):
    """The front door runs but does not do what was asked: read back, and it is not so."""

    code = "frontdoor-check"
