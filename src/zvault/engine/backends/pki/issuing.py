"""Certificates made to order: roots, and leaves by a role.

What lives here: what a request may have of a role and how long, and the answers. What never does:
paths (``backend.py``), X.509 itself (``certificates.py``).
Invariants: nothing is signed that the role does not allow or that outlives the CA; a certificate is
stored before it is handed out, unless the role says otherwise.
Source: ``docs/api/pki.md``.
"""

import asyncio
import ipaddress
from typing import Any

from zvault.base.gotime import SECOND_NS, format_duration, format_time
from zvault.engine.api import MountContext, Response, SecretGrant
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData
from zvault.engine.backends.pki.certificates import (
    Address,
    Wish,
    cert_pem,
    default_bits,
    expires_ns,
    key_pem,
    leaf_certificate,
    make_key,
    root_certificate,
    serial_text,
)
from zvault.engine.backends.pki.names import is_allowed
from zvault.engine.backends.pki.role import SUBJECT, Role
from zvault.engine.backends.pki.store import Issuer, PkiStore
from zvault.engine.errors import InternalEngineError, InvalidRequestError

_TEXT, _LIST, _BOOL = FieldKind.STRING, FieldKind.COMMA_LIST, FieldKind.BOOL
_SUBJECT_FIELDS = {name: Field(_LIST, []) for name in SUBJECT}
_REFUSED = {
    name: Field(FieldKind.ANY)
    for name in ("uri_sans", "other_sans", "not_after", "serial_number", "user_ids")
}
"""Known parameters that would change the certificate and are not served."""
_COMMON = {
    "common_name": Field(_TEXT, ""),
    "ttl": Field(FieldKind.DURATION, 0),
    "format": Field(_TEXT, "pem"),
    "private_key_format": Field(_TEXT, "der"),
    "exclude_cn_from_sans": Field(_BOOL, False),
    **_REFUSED,
}
ISSUE_FIELDS = {
    "role": Field(_TEXT, ""),
    "alt_names": Field(_LIST, []),
    "ip_sans": Field(_LIST, []),
    "remove_roots_from_chain": Field(_BOOL, False),
    **_COMMON,
}
ROOT_FIELDS = {
    "exported": Field(_TEXT, ""),
    "key_type": Field(_TEXT, "rsa"),
    "key_bits": Field(FieldKind.INT, 0),
    "issuer_name": Field(_TEXT, ""),
    "key_name": Field(_TEXT, ""),
    **_SUBJECT_FIELDS,
    **_COMMON,
    **{
        name: Field(FieldKind.ANY)
        for name in ("alt_names", "ip_sans", "max_path_length", "permitted_dns_domains")
    },
}
_ROOT_REFUSED = (*_REFUSED, "alt_names", "ip_sans", "max_path_length", "permitted_dns_domains")
_NO_CN = (
    'the common_name field is required, or must be provided in a CSR with "use_csr_common_name" '
    'set to true, unless "require_cn" is set to false'
)
_NO_URLS = (
    "This mount hasn't configured any authority information access (AIA) fields; this may make it "
    "harder for systems to find missing certificates in the chain or to validate revocation status "
    "of certificates. Consider updating /config/urls or the newly generated issuer with this "
    "information."
)
_NO_ISSUER = (
    "1 error occurred:\n\t* could not fetch the CA certificate (was one set?): no default issuer "
    "currently configured\n\n"
)
_CA_BACKDATED_NS = 30 * SECOND_NS
_SERIAL_BYTES = 20


class Issuing:
    """Makes certificates for one mount."""

    def __init__(self, context: MountContext, store: PkiStore) -> None:
        self._context = context
        self._store = store

    def _serial(self) -> int:
        """Twenty bytes, positive, not zero."""
        raw = bytearray(self._context.random_bytes(_SERIAL_BYTES))
        raw[0] = raw[0] & 0x7F or 0x01
        return int.from_bytes(raw, "big")

    def _ttl(self, asked: int, longest: int) -> tuple[int, list[str]]:
        """What is granted of a TTL, with the warning about the rest."""
        most = self._context.max_ttl_ns()
        longest = min(longest, most) if longest else most
        ttl = asked or self._context.default_ttl_ns()
        if ttl <= longest:
            return ttl, []
        return longest, [
            f'TTL "{format_duration(ttl)}" is longer than permitted maxTTL '
            f'"{format_duration(longest)}", so maxTTL is being used'
        ]

    # -- the root ----------------------------------------------------------------------------

    async def root(self, data: FieldData) -> Response:
        """A new self-signed CA. Raises InvalidRequestError, StorageError."""
        exported = data["exported"]
        if exported not in ("internal", "exported"):
            raise InvalidRequestError(
                'the "exported" path parameter must be "internal" or "exported"'
            )
        _check(data, _ROOT_REFUSED)
        if not data["common_name"]:
            raise InvalidRequestError("the common_name field is required")
        kind, bits = data["key_type"], default_bits(data["key_type"], data["key_bits"])
        ttl, warnings = self._ttl(data["ttl"], 0)
        now, urls = self._context.clock.now_ns(), await self._store.urls()
        wish = Wish(
            common_name=data["common_name"],
            serial=self._serial(),
            not_before_ns=now - _CA_BACKDATED_NS,
            not_after_ns=now + ttl,
            subject={name: data[name] for name in SUBJECT},
            names=() if data["exclude_cn_from_sans"] else (data["common_name"],),
            key_usage=("CertSign", "CRLSign"),
            **_urls(urls),
        )
        key = await asyncio.to_thread(make_key, kind, bits)
        certificate = _sound(lambda: root_certificate(key, wish))
        issuer_id, key_id = await self._store.add_issuer(
            certificate,
            key,
            kind=kind,
            issuer_name=data["issuer_name"],
            key_name=data["key_name"],
            now_ns=now,
        )
        pem = cert_pem(certificate).rstrip("\n")
        answer = {
            "certificate": pem,
            "expiration": expires_ns(certificate) // SECOND_NS,
            "issuer_id": issuer_id,
            "issuer_name": data["issuer_name"],
            "issuing_ca": pem,
            "key_id": key_id,
            "key_name": data["key_name"],
            "serial_number": serial_text(certificate.serial_number),
        }
        if exported == "exported":
            pkcs8 = data["private_key_format"] == "pkcs8"
            answer["private_key"] = key_pem(key, pkcs8=pkcs8).rstrip("\n")
            answer["private_key_type"] = kind
        if not any(urls[name] for name in ("issuing_certificates", "ocsp_servers")):
            warnings.append(_NO_URLS)
        return Response(data=answer, warnings=warnings)

    # -- leaves ------------------------------------------------------------------------------

    async def issue(self, role: Role, data: FieldData) -> Response:
        """A certificate and its key. Raises InvalidRequestError, InternalEngineError."""
        role.check_served()
        _check(data, tuple(_REFUSED))
        names, addresses = _names(role, data)
        issuer = await self._store.issuer()
        if issuer is None:
            raise InternalEngineError(_NO_ISSUER)
        ttl, warnings = self._ttl(data["ttl"] or role["ttl"], role["max_ttl"])
        now = self._context.clock.now_ns()
        end = now + ttl
        if end > expires_ns(issuer.certificate):
            ends = expires_ns(issuer.certificate)
            raise InvalidRequestError(
                f"cannot satisfy request, as TTL would result in notAfter of {format_time(end)} "
                f"that is beyond the expiration of the CA certificate at {format_time(ends)}"
            )
        wish = Wish(
            common_name=data["common_name"],
            serial=self._serial(),
            not_before_ns=now - role["not_before_duration"],
            not_after_ns=end,
            subject={name: role[name] for name in SUBJECT},
            names=names,
            addresses=addresses,
            key_usage=tuple(role["key_usage"]),
            server=role["server_flag"],
            client=role["client_flag"],
            code_signing=role["code_signing_flag"],
            email_protection=role["email_protection_flag"],
            **_urls(await self._store.urls()),
        )
        return await self._signed(role, data, wish, issuer, warnings)

    async def _signed(
        self, role: Role, data: FieldData, wish: Wish, issuer: Issuer, warnings: list[str]
    ) -> Response:
        key = await asyncio.to_thread(make_key, role["key_type"], role["key_bits"])
        certificate = _sound(lambda: leaf_certificate(key, wish, issuer.key, issuer.certificate))
        if not role["no_store"]:
            await self._store.put_certificate(certificate)
        ca = cert_pem(issuer.certificate).rstrip("\n")
        serial, ends = serial_text(certificate.serial_number), expires_ns(certificate)
        answer: dict[str, Any] = {
            "ca_chain": [] if data["remove_roots_from_chain"] else [ca],
            "certificate": cert_pem(certificate).rstrip("\n"),
            "expiration": ends // SECOND_NS,
            "issuing_ca": ca,
            "private_key": key_pem(key, pkcs8=data["private_key_format"] == "pkcs8").rstrip("\n"),
            "private_key_type": role["key_type"],
            "serial_number": serial,
        }
        if data["format"] == "pem_bundle":
            parts = [answer["private_key"], answer["certificate"], *answer["ca_chain"]]
            answer["certificate"] = "\n".join(parts)
        response = Response(data=answer, warnings=warnings)
        if role["generate_lease"]:
            left = ends - self._context.clock.now_ns()
            internal = {"secret_type": "pki", "serial_number": serial}
            response.secret = SecretGrant(left, internal_data=internal)
        return response


def _names(role: Role, data: FieldData) -> tuple[tuple[str, ...], tuple[Address, ...]]:
    """The alternative names that a request may have. Raises InvalidRequestError."""
    rules, common = role.name_rules(), data["common_name"]
    if not common and role["require_cn"]:
        raise InvalidRequestError(_NO_CN)
    if common and not is_allowed(rules, common):
        raise InvalidRequestError(f"common name {common} not allowed by this role")
    for name in data["alt_names"]:
        if not is_allowed(rules, name):
            raise InvalidRequestError(f"subject alternate name {name} not allowed by this role")
    if data["ip_sans"] and not role["allow_ip_sans"]:
        raise InvalidRequestError(
            "IP Subject Alternative Names are not allowed in this role, but were provided via the "
            "API"
        )
    addresses = []
    for text in data["ip_sans"]:
        try:
            addresses.append(ipaddress.ip_address(text))
        except ValueError:
            raise InvalidRequestError(f'the value "{text}" is not a valid IP address') from None
    own = () if data["exclude_cn_from_sans"] or not common else (common,)
    return (*own, *data["alt_names"]), tuple(addresses)


def _check(data: FieldData, refused: tuple[str, ...]) -> None:
    if data["format"] not in ("pem", "pem_bundle"):
        raise InvalidRequestError('the "format" path parameter must be "pem" or "pem_bundle"')
    if data["private_key_format"] not in ("der", "pkcs8"):
        raise InvalidRequestError('the "private_key_format" parameter must be "der" or "pkcs8"')
    for name in refused:
        if name in data:
            raise InvalidRequestError(f"this server does not serve the parameter {name!r}")


def _urls(urls: dict[str, Any]) -> dict[str, Any]:
    return {
        "issuer_urls": tuple(urls["issuing_certificates"]),
        "ocsp_urls": tuple(urls["ocsp_servers"]),
        "crl_urls": tuple(urls["crl_distribution_points"]),
    }


def _sound(make: Any) -> Any:
    """What X.509 cannot hold (a country of three letters, a name too long) is the caller's."""
    try:
        return make()
    except (ValueError, OverflowError) as error:
        raise InvalidRequestError(f"the certificate cannot be made: {error}") from None
