"""A private certificate authority: makes its own certificate and signs the server's.

What lives here: what the certificates say. What never does: files, clocks; keys are made here and
handed out once.
Source: RFC 5280. Keys are P-256. The CA may sign leaf certificates only (path length 0).
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from zvault.base.errors import UsageError
from zvault.ops.tls.errors import TlsBadPairError

CA_DAYS = 3650
SERVER_DAYS = 90
ALWAYS_NAMED = ("localhost", "127.0.0.1", "::1")
_CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA's certificate and key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class ServerPair:
    """A server's certificate and key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_authority(name: str, now: datetime, days: int = CA_DAYS) -> Authority:
    """A new CA called ``name``, valid for ``days``."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = _usage(key_cert_sign=True, crl_sign=True)
    certificate = (
        _builder(subject, subject, key.public_key(), now, now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    return Authority(certificate, key)


def issue(
    authority: Authority,
    hosts: Sequence[str],
    now: datetime,
    *,
    days: int = SERVER_DAYS,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> ServerPair:
    """A certificate for ``hosts`` and this machine's loopback names; ``key`` is kept when given.

    It never outlives its CA. Raises UsageError for a host that no certificate can hold,
    TlsBadPairError when the CA itself has expired.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    names = subject_names(hosts)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0] if hosts else "vault")])
    ends = authority.certificate.not_valid_after_utc
    if ends <= now:
        raise TlsBadPairError(
            f"the CA expired on {ends:%Y-%m-%d}",
            hint="move the old TLS files away and make a new CA: zvault tls init",
        )
    until = min(now + timedelta(days=days), ends)
    usage = _usage(digital_signature=True)
    signer = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    certificate = (
        _builder(subject, authority.certificate.subject, key.public_key(), now, until)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer.value),
            critical=False,
        )
        .sign(authority.key, SHA256())
    )
    return ServerPair(certificate, key)


def subject_names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    """The hosts and the loopback names, each once, as DNS names or addresses."""
    names: list[x509.GeneralName] = []
    for host in dict.fromkeys((*hosts, *ALWAYS_NAMED)):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(_checked_name(host)))
    return names


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """The names and addresses a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def _checked_name(host: str) -> str:
    labels = host.split(".")
    good = 0 < len(host) <= 253 and all(
        0 < len(label) <= 63
        and label.isascii()
        and label.replace("-", "a").replace("_", "a").isalnum()
        for label in (labels[1:] if labels[0] == "*" and len(labels) > 2 else labels)
    )
    if not good:
        raise UsageError(
            f"{host!r} is no host name or address", hint="give names like vault.example.kz"
        )
    return host


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(until)
    )


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
