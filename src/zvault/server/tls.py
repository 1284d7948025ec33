"""The server's side of TLS: contexts, and a new certificate without a new listener.

What lives here: building an SSLContext from settings, replacing its certificate. What never does:
sockets, certificates made.
Invariant: a pair that does not work never replaces one that does. ``load_cert_chain`` with a key
that does not match raises after the certificate was swapped in, and from then on every handshake
fails; so a pair is tried in a scratch context first, and both contexts read the same bytes.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zvault.base.atomic_file import require_private
from zvault.base.errors import PreconditionError
from zvault.server.settings import TlsSettings

_VERSIONS = {"tls12": ssl.TLSVersion.TLSv1_2, "tls13": ssl.TLSVersion.TLSv1_3}
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class CertificateError(PreconditionError):
    """A certificate, key or CA file that cannot be used."""

    code = "bad-certificate"


class ServerTls:
    """The live context of one listener."""

    def __init__(self, settings: TlsSettings) -> None:
        """Raises CertificateError, PreconditionError (a key file that others can read)."""
        self._settings = settings
        self.context = self._new_context()
        self.reload()

    def reload(self) -> None:
        """Load the pair anew. Raises CertificateError; the old pair then goes on serving."""
        settings = self._settings
        require_private(settings.key_file)
        certificate, key = _read(settings.cert_file), _read(settings.key_file)
        try:
            with _as_file(certificate) as cert_path, _as_file(key) as key_path:
                self._new_context().load_cert_chain(cert_path, key_path, password=_no_password)
                self.context.load_cert_chain(cert_path, key_path, password=_no_password)
        except (ssl.SSLError, ValueError, OSError) as error:
            reason = getattr(error, "reason", None) or type(error).__name__
            raise CertificateError(
                f"error loading TLS cert: {settings.cert_file} and {settings.key_file} "
                f"do not work together ({reason})",
                hint="give a PEM certificate chain and its unencrypted PEM key",
            ) from None

    def _new_context(self) -> ssl.SSLContext:
        settings = self._settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _version(settings.min_version)
        context.maximum_version = _version(settings.max_version)
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        context.options |= ssl.OP_NO_RENEGOTIATION
        if settings.client_ca_file is not None:
            try:
                context.load_verify_locations(cafile=settings.client_ca_file)
            except (ssl.SSLError, OSError):
                raise CertificateError(
                    f"{settings.client_ca_file} holds no CA certificate that can be read",
                    hint="give a PEM file in tls_client_ca_file",
                ) from None
        if settings.require_client_cert:
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _version(name: str) -> ssl.TLSVersion:
    version = _VERSIONS.get(name)
    if version is None:
        raise CertificateError(f"TLS version {name!r} is not offered", hint="use tls12 or tls13")
    return version


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(
            f"error loading TLS cert: {path} cannot be read ({error.strerror})",
            hint="check tls_cert_file and tls_key_file",
        ) from None


def _no_password() -> str:
    """An encrypted key is refused instead of asking on a terminal."""
    raise ValueError("the key is encrypted")


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path in memory to these bytes: the ssl module loads only from paths."""
    descriptor = os.memfd_create("zvault-tls", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
