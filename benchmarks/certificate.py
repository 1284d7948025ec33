"""A CA and a server certificate for the bench: ECDSA P-256, the same pair for both servers."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from zvault.ops.tls.authority import issue, make_authority


@dataclass(frozen=True, slots=True)
class Pair:
    """PEM files."""

    ca: Path
    certificate: Path
    key: Path


def make_pair(directory: Path) -> Pair:
    """For the loopback addresses, valid from now on."""
    now = datetime.now(UTC)
    authority = make_authority("bench", now)
    made = issue(authority, ["127.0.0.1"], now)
    pair = Pair(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    pair.ca.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    pair.certificate.write_bytes(made.certificate.public_bytes(Encoding.PEM))
    pair.key.touch(mode=0o600)
    pair.key.write_bytes(made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pair
