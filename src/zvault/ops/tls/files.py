"""Certificates and keys on disk.

What lives here: the four files of a TLS directory, written atomically, keys with mode 0600. What
never does: what a certificate says, whether it is good.
Invariant: when both files of a pair change, the certificate is renamed last; a key that others can
read is refused, never used.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from zvault.base.atomic_file import PRIVATE_MODE, make_folders, require_private, write_atomic
from zvault.ops.tls.authority import Authority, ServerPair
from zvault.ops.tls.errors import TlsFileError

_PUBLIC_MODE = 0o644
DEFAULT_DIRECTORY = Path("monitoring/vault/tls")


@dataclass(frozen=True, slots=True)
class TlsPaths:
    """Where the files are; ``in_directory`` gives the seeds' names."""

    certificate: Path
    key: Path
    ca: Path
    ca_key: Path

    @classmethod
    def in_directory(cls, directory: Path = DEFAULT_DIRECTORY) -> "TlsPaths":
        """``vault-cert.pem``, ``vault-key.pem``, ``ca.pem``, ``ca-key.pem``."""
        return cls(
            directory / "vault-cert.pem",
            directory / "vault-key.pem",
            directory / "ca.pem",
            directory / "ca-key.pem",
        )


def write_authority(paths: TlsPaths, authority: Authority) -> None:
    """The CA's key, then its certificate. Raises TlsFileError."""
    _write(paths.ca_key, _key_pem(authority.key), PRIVATE_MODE)
    _write(paths.ca, authority.certificate.public_bytes(Encoding.PEM), _PUBLIC_MODE)


def write_pair(paths: TlsPaths, pair: ServerPair) -> None:
    """The pair; the key only when it differs from the one there. Raises TlsFileError."""
    pem = _key_pem(pair.key)
    if not paths.key.exists() or paths.key.read_bytes() != pem:
        _write(paths.key, pem, PRIVATE_MODE)
    _write(paths.certificate, pair.certificate.public_bytes(Encoding.PEM), _PUBLIC_MODE)


def load_authority(paths: TlsPaths) -> Authority:
    """Raises TlsFileError, PreconditionError for a key that others can read."""
    return Authority(load_certificate(paths.ca), load_key(paths.ca_key))


def load_pair(paths: TlsPaths) -> ServerPair:
    """Raises TlsFileError, PreconditionError for a key that others can read."""
    return ServerPair(load_certificate(paths.certificate), load_key(paths.key))


def load_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file. Raises TlsFileError."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as cause:
        raise _unreadable(path, str(cause.strerror)) from None
    except ValueError:
        raise _unreadable(path, "it holds no certificate") from None


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """An elliptic-curve key from a private PEM file. Raises TlsFileError, PreconditionError."""
    require_private(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as cause:
        raise _unreadable(path, str(cause.strerror)) from None
    except (ValueError, TypeError):
        raise _unreadable(path, "it holds no unencrypted private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _unreadable(path, "its key is not one this tool made (P-256)")
    return key


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        make_folders(path.parent)
        write_atomic(path, content, mode)
    except OSError as cause:
        raise TlsFileError(
            f"{path} cannot be written: {cause.strerror}", hint="check the folder and the disk"
        ) from None


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _unreadable(path: Path, reason: str) -> TlsFileError:
    return TlsFileError(
        f"{path} cannot be used: {reason}", hint="make a pair with `zvault tls init` or `renew`"
    )
