"""What may go wrong with certificates: one class a cause."""

from zvault.base.errors import PreconditionError, UnreachableError, VerificationError


class TlsExistsError(PreconditionError):
    """There is a CA or a certificate already; nothing is overwritten."""

    code = "tls-exists"


class TlsFileError(PreconditionError):
    """A certificate or key file is missing or cannot be read."""

    code = "tls-file"


class TlsBadPairError(VerificationError):
    """Certificate, key and CA do not fit together, or the certificate is not valid now."""

    code = "tls-bad-pair"


class TlsNotServedError(VerificationError):
    """The server shows another certificate than the one on disk."""

    code = "tls-not-served"


class TlsHandshakeError(UnreachableError):
    """No TLS handshake came about."""

    code = "tls-handshake"
