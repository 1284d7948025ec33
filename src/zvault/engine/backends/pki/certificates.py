"""Keys and certificates, through ``cryptography``.

What lives here: building and signing; everything that decides comes in as a parameter. What never
does: storage, a clock, who may have what (``names.py``, ``role.py``).
Invariant: a private key leaves only as the PEM text that the caller asked for.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from zvault.base.gotime import SECOND_NS
from zvault.engine.backends.pki.names import is_hostname
from zvault.engine.errors import InvalidRequestError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_CURVES: dict[int, type[ec.EllipticCurve]] = {
    224: ec.SECP224R1,
    256: ec.SECP256R1,
    384: ec.SECP384R1,
    521: ec.SECP521R1,
}
_RSA_BITS = (2048, 3072, 4096, 8192)
KEY_USAGES = {
    "digitalsignature": "digital_signature",
    "contentcommitment": "content_commitment",
    "keyencipherment": "key_encipherment",
    "dataencipherment": "data_encipherment",
    "keyagreement": "key_agreement",
    "certsign": "key_cert_sign",
    "crlsign": "crl_sign",
    "encipheronly": "encipher_only",
    "decipheronly": "decipher_only",
}
"""Vault's names in lower case to those of ``cryptography``."""
_SUBJECT_OIDS = {
    "country": NameOID.COUNTRY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "street_address": NameOID.STREET_ADDRESS,
    "postal_code": NameOID.POSTAL_CODE,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """A certificate to be made. Times in ns."""

    common_name: str
    serial: int
    not_before_ns: int
    not_after_ns: int
    subject: dict[str, Sequence[str]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    """Hosts and e-mail addresses of the alternative names."""
    addresses: tuple[Address, ...] = ()
    key_usage: tuple[str, ...] = ()
    server: bool = False
    client: bool = False
    code_signing: bool = False
    email_protection: bool = False
    issuer_urls: tuple[str, ...] = ()
    ocsp_urls: tuple[str, ...] = ()
    crl_urls: tuple[str, ...] = ()


def default_bits(key_type: str, bits: int) -> int:
    """The key length, chosen when 0. Raises InvalidRequestError."""
    if key_type == "rsa":
        if bits and bits < _RSA_BITS[0]:
            raise InvalidRequestError(
                f"RSA keys < 2048 bits are unsafe and not supported: got {bits}"
            )
        if bits and bits not in _RSA_BITS:
            raise InvalidRequestError(f"unsupported bit length for RSA key: {bits}")
        return bits or 2048
    if key_type == "ec":
        if bits and bits not in _CURVES:
            raise InvalidRequestError(f"unsupported bit length for EC key: {bits}")
        return bits or 256
    if key_type == "ed25519":
        return 0
    raise InvalidRequestError(f"unknown key type {key_type}")


def make_key(key_type: str, bits: int) -> PrivateKey:
    """A fresh key; takes a while for RSA."""
    if key_type == "rsa":
        return rsa.generate_private_key(65537, bits)
    if key_type == "ec":
        return ec.generate_private_key(_CURVES[bits]())
    return ed25519.Ed25519PrivateKey.generate()


def key_pem(key: PrivateKey, *, pkcs8: bool = False) -> str:
    """Unencrypted PEM: the kind's own form where it has one, or PKCS 8."""
    own = not pkcs8 and not isinstance(key, ed25519.Ed25519PrivateKey)
    form = serialization.PrivateFormat
    return key.private_bytes(
        serialization.Encoding.PEM,
        form.TraditionalOpenSSL if own else form.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def load_key(pem: str) -> PrivateKey:
    """Raises ValueError for anything but an RSA, EC or Ed25519 key."""
    key = serialization.load_pem_private_key(pem.encode(), None)
    if not isinstance(key, PrivateKey):
        raise ValueError("a key of another kind")
    return key


def cert_pem(certificate: x509.Certificate) -> str:
    """PEM with its last line feed."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def cert_der(certificate: x509.Certificate) -> bytes:
    """DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def serial_text(serial: int) -> str:
    """Hex bytes with colons."""
    length = max(1, (serial.bit_length() + 7) // 8)
    return serial.to_bytes(length, "big").hex(":")


def root_certificate(key: PrivateKey, wish: Wish) -> x509.Certificate:
    """Self-signed. Raises ValueError for what X.509 cannot hold."""
    name = _name(wish)
    builder = _builder(wish, name, name, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_authority(key), critical=False)
    return builder.sign(key, _digest(key))


def leaf_certificate(
    key: PrivateKey, wish: Wish, ca_key: PrivateKey, ca: x509.Certificate
) -> x509.Certificate:
    """Signed by the CA. Raises ValueError for what X.509 cannot hold."""
    builder = _builder(wish, _name(wish), ca.subject, key)
    purposes = [
        oid
        for wanted, oid in (
            (wish.server, ExtendedKeyUsageOID.SERVER_AUTH),
            (wish.client, ExtendedKeyUsageOID.CLIENT_AUTH),
            (wish.code_signing, ExtendedKeyUsageOID.CODE_SIGNING),
            (wish.email_protection, ExtendedKeyUsageOID.EMAIL_PROTECTION),
        )
        if wanted
    ]
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    builder = builder.add_extension(_authority(ca_key), critical=False)
    return builder.sign(ca_key, _digest(ca_key))


def _builder(
    wish: Wish, subject: x509.Name, issuer: x509.Name, key: PrivateKey
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(wish.serial)
        .not_valid_before(_moment(wish.not_before_ns))
        .not_valid_after(_moment(wish.not_after_ns))
    )
    if wish.key_usage:
        builder = builder.add_extension(_usage(wish.key_usage), critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    names = _alternative_names(wish)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _with_urls(builder, wish)


def _with_urls(builder: x509.CertificateBuilder, wish: Wish) -> x509.CertificateBuilder:
    access = [
        x509.AccessDescription(oid, x509.UniformResourceIdentifier(url))
        for oid, urls in (
            (AuthorityInformationAccessOID.OCSP, wish.ocsp_urls),
            (AuthorityInformationAccessOID.CA_ISSUERS, wish.issuer_urls),
        )
        for url in urls
    ]
    if access:
        builder = builder.add_extension(x509.AuthorityInformationAccess(access), critical=False)
    points = [
        x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
        for url in wish.crl_urls
    ]
    if points:
        builder = builder.add_extension(x509.CRLDistributionPoints(points), critical=False)
    return builder


def _name(wish: Wish) -> x509.Name:
    attributes = [
        x509.NameAttribute(oid, value)
        for member, oid in _SUBJECT_OIDS.items()
        for value in wish.subject.get(member, ())
    ]
    if wish.common_name:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, wish.common_name))
    return x509.Name(attributes)


def _alternative_names(wish: Wish) -> list[x509.GeneralName]:
    result: list[x509.GeneralName] = []
    for name in dict.fromkeys(wish.names):
        if "@" in name:
            result.append(x509.RFC822Name(name))
        elif is_hostname(name):
            result.append(x509.DNSName(name))
    return result + [x509.IPAddress(address) for address in wish.addresses]


def _usage(names: Sequence[str]) -> x509.KeyUsage:
    flags = dict.fromkeys(KEY_USAGES.values(), False)
    for name in names:
        flags[KEY_USAGES[name.lower()]] = True
    if not flags["key_agreement"]:
        flags["encipher_only"] = flags["decipher_only"] = False
    return x509.KeyUsage(**flags)


def _authority(key: PrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _digest(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > 256:
        return hashes.SHA384() if key.key_size == 384 else hashes.SHA512()
    return hashes.SHA256()


def go_signature_algorithm(key: PrivateKey) -> int:
    """Go's number of the algorithm that ``key`` signs with (``x509.SignatureAlgorithm``)."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return 16
    if isinstance(key, rsa.RSAPrivateKey):
        return 4
    return {384: 11, 521: 12}.get(key.key_size, 10)


def revocation_list(
    revoked: Sequence[tuple[int, int]],
    ca_key: PrivateKey,
    ca: x509.Certificate,
    *,
    now_ns: int,
    next_ns: int,
    number: int,
) -> x509.CertificateRevocationList:
    """Serials with the times (ns) of their revocation, signed."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.subject)
        .last_update(_moment(now_ns))
        .next_update(_moment(next_ns))
        .add_extension(_authority(ca_key), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for serial, when_ns in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial)
        builder = builder.add_revoked_certificate(entry.revocation_date(_moment(when_ns)).build())
    return builder.sign(ca_key, _digest(ca_key))


def expires_ns(certificate: x509.Certificate) -> int:
    """Its last second."""
    return int(certificate.not_valid_after_utc.timestamp()) * SECOND_NS


def _moment(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // SECOND_NS, UTC)
