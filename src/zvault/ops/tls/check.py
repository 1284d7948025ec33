"""Is the pair on disk good, and is it the one that is served?

What lives here: the judgement of certificates, and one handshake to look at what a server shows.
What never does: changing anything.
"""

import hashlib
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from zvault.base.errors import PreconditionError
from zvault.ops.tls.authority import ServerPair, hosts_of
from zvault.ops.tls.errors import TlsHandshakeError
from zvault.ops.tls.files import TlsPaths, load_certificate, load_pair

DEFAULT_MIN_DAYS = 30


@dataclass(frozen=True, slots=True)
class PairReport:
    """``problems`` is empty when the pair may serve. Fingerprint and pin are SHA-256, hex."""

    hosts: tuple[str, ...]
    serial: str
    fingerprint: str
    spki_pin: str
    not_after: str
    days_left: int
    problems: tuple[str, ...]


def check_files(
    paths: TlsPaths, now: datetime, hosts: Sequence[str] = (), min_days: int = 0
) -> PairReport:
    """Judge the files. Raises TlsFileError and PreconditionError when they cannot be read."""
    return check_pair(load_pair(paths), load_certificate(paths.ca), now, hosts, min_days)


def problem_of(paths: TlsPaths, now: datetime, hosts: Sequence[str] = (), min_days: int = 0) -> str:
    """Why the pair cannot serve, in one line; "" when it can."""
    try:
        return "; ".join(check_files(paths, now, hosts, min_days).problems)
    except PreconditionError as error:
        return error.message


def check_pair(
    pair: ServerPair,
    ca: x509.Certificate,
    now: datetime,
    hosts: Sequence[str] = (),
    min_days: int = 0,
) -> PairReport:
    """Judge a pair: key, chain, names, time."""
    certificate = pair.certificate
    left = certificate.not_valid_after_utc - now
    named = hosts_of(certificate)
    problems = [
        *_key_problems(pair),
        *_time_problems(certificate, now, left, min_days),
        *_name_problems(hosts, named),
        *_chain_problems(certificate, ca, now, named),
    ]
    return PairReport(
        hosts=tuple(named),
        serial=f"{certificate.serial_number:x}",
        fingerprint=fingerprint(certificate),
        spki_pin=_pin(certificate),
        not_after=certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        days_left=left // timedelta(days=1),
        problems=tuple(problems),
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the whole certificate, hex."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def read_served(host: str, port: int, ca_file: Path, timeout: float = 5.0) -> x509.Certificate:
    """The certificate a server shows in a handshake that trusts ``ca_file`` alone.

    Raises TlsHandshakeError when nothing answers or the chain or name is wrong.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
        with (
            socket.create_connection((host, port), timeout=timeout) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            raw = secured.getpeercert(binary_form=True)
    except ssl.SSLCertVerificationError as cause:
        raise TlsHandshakeError(
            f"{host}:{port} shows a certificate that {ca_file} does not vouch for:"
            f" {cause.verify_message}",
            hint="renew it, or name the CA that issued it",
        ) from None
    except (OSError, ValueError) as cause:
        reason = getattr(cause, "strerror", None) or str(cause)
        raise TlsHandshakeError(
            f"no TLS handshake with {host}:{port}: {reason}", hint="is the TLS listener up?"
        ) from None
    if raw is None:
        raise TlsHandshakeError(f"{host}:{port} showed no certificate", hint="is it TLS?")
    return x509.load_der_x509_certificate(raw)


def _key_problems(pair: ServerPair) -> list[str]:
    own, certified = (
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for key in (pair.key.public_key(), pair.certificate.public_key())
    )
    return [] if own == certified else ["the key is not the certificate's key"]


def _time_problems(
    certificate: x509.Certificate, now: datetime, left: timedelta, min_days: int
) -> list[str]:
    if now < certificate.not_valid_before_utc:
        return ["the certificate is not valid yet; is the clock right?"]
    if left <= timedelta(0):
        return [f"the certificate expired {-left // timedelta(days=1)} days ago"]
    if left < timedelta(days=min_days):
        return [f"the certificate has {left // timedelta(days=1)} days left, less than {min_days}"]
    return []


def _name_problems(wanted: Sequence[str], named: Sequence[str]) -> list[str]:
    known = {_normal(host) for host in named}
    return [f"the certificate is not for {host}" for host in wanted if _normal(host) not in known]


def _normal(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()


def _chain_problems(
    certificate: x509.Certificate, ca: x509.Certificate, now: datetime, named: Sequence[str]
) -> list[str]:
    if not named:
        return ["the certificate names no host"]
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return []  # said already, and the verifier would only say it again
    verifier = PolicyBuilder().store(Store([ca])).time(now)
    try:
        verifier.build_server_verifier(_subject(named[0])).verify(certificate, [])
    except VerificationError as cause:
        return [f"the CA does not vouch for the certificate: {cause}"]
    return []


def _subject(host: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pin(certificate: x509.Certificate) -> str:
    info = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).hexdigest()
