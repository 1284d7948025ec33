"""What a PKI mount keeps: issuers, keys, roles, URLs, certificates, revocations.

What lives here: keys and shapes of the entries, as OpenBao and Vault have them. What never does:
who may have what, certificates built.
Invariant: an issuer's key is stored before the issuer, and the default points to neither before
both are there.
Source: ``docs/formats/records.md``.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509

from zvault.barrier.view import View
from zvault.base.gotime import SECOND_NS, ZERO_TIME, format_time
from zvault.base.ids import RandomBytes, new_uuid
from zvault.engine.backends.pki.certificates import (
    PrivateKey,
    cert_der,
    cert_pem,
    go_signature_algorithm,
    key_pem,
    load_key,
    serial_text,
)
from zvault.engine.backends.pki.role import Role, decode_role, encode_role
from zvault.records import gojson
from zvault.records.errors import RecordError
from zvault.storage.api import Operation, Put

_ISSUER_USAGE = 14
"""Read, sign certificates, sign revocation lists (1 is ""read only"" and implied)."""
URL_MEMBERS = ("issuing_certificates", "crl_distribution_points", "ocsp_servers")


@dataclass(frozen=True, slots=True)
class Issuer:
    """The CA: its certificate and key."""

    id: str
    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Revoked:
    """When a certificate was revoked."""

    when_ns: int
    issuer_id: str = ""


def _dashed(serial: str) -> str:
    return serial.lower().replace(":", "-")


class PkiStore:
    """Entries of one mount."""

    def __init__(self, view: View, random_bytes: RandomBytes) -> None:
        self._view = view
        self._random_bytes = random_bytes

    async def _object(self, key: str) -> dict[str, Any] | None:
        stored = await self._view.get(key)
        return None if stored is None else gojson.loads_object(stored)

    # -- issuers -----------------------------------------------------------------------------

    async def default_issuer_id(self) -> str:
        """ "" when there is none."""
        body = await self._object("config/issuers") or {}
        found = body.get("default", "")
        return found if isinstance(found, str) else ""

    async def issuer(self) -> Issuer | None:
        """The default issuer. Raises RecordError for one that cannot sign."""
        name = await self.default_issuer_id()
        body = await self._object(f"config/issuer/{name}") if name else None
        if body is None:
            return None
        key = await self._object(f"config/key/{body.get('key_id', '')}")
        if key is None:
            raise RecordError("pki: the default issuer's key is not there")
        try:
            certificate = x509.load_pem_x509_certificate(str(body["certificate"]).encode())
            return Issuer(name, certificate, load_key(str(key["private_key"])))
        except (KeyError, ValueError, TypeError):
            raise RecordError("pki: the default issuer cannot be read") from None

    async def add_issuer(
        self,
        certificate: x509.Certificate,
        key: PrivateKey,
        *,
        kind: str,
        issuer_name: str,
        key_name: str,
        now_ns: int,
    ) -> tuple[str, str]:
        """Store a new issuer, the default one if there was none; ids of issuer and key."""
        issuer_id, key_id = new_uuid(self._random_bytes), new_uuid(self._random_bytes)
        pem = cert_pem(certificate)
        key_body = {
            "id": key_id,
            "name": key_name,
            "private_key_type": kind,
            "private_key": key_pem(key),
        }
        serial = serial_text(certificate.serial_number)
        body = {
            "id": issuer_id,
            "name": issuer_name,
            "key_id": key_id,
            "certificate": pem,
            "ca_chain": [pem],
            "manual_chain": None,
            "serial_number": serial,
            "not_after_behavior": 0,
            "usage": _ISSUER_USAGE,
            "revocation_signature_algorithm": go_signature_algorithm(key),
            "revoked": False,
            "revocation_time": 0,
            "revocation_time_utc": ZERO_TIME,
            "last_modified": format_time(now_ns),
            "version": 1,
        }
        entries: list[Operation] = [
            _put(f"config/key/{key_id}", key_body),
            _put(f"config/issuer/{issuer_id}", body),
            Put(f"certs/{_dashed(serial)}", cert_der(certificate)),
        ]
        defaults: list[Operation] = []
        if not await self.default_issuer_id():
            follows = {"default": issuer_id, "default_follows_latest_issuer": False}
            defaults = [
                _put("config/keys", {"default": key_id}),
                _put("config/issuers", follows),
            ]
        await self._view.apply(entries)
        if defaults:
            await self._view.apply(defaults)
        return issuer_id, key_id

    # -- roles and URLs ----------------------------------------------------------------------

    async def role(self, name: str) -> Role | None:
        """Raises RecordError."""
        stored = await self._view.get(f"role/{name}")
        return None if stored is None else decode_role(stored)

    async def put_role(self, name: str, role: Role) -> None:
        """Durable on return."""
        await self._view.put(f"role/{name}", encode_role(role))

    async def delete_role(self, name: str) -> None:
        """Absent is fine."""
        await self._view.delete(f"role/{name}")

    async def role_names(self) -> list[str]:
        """Sorted."""
        return await self._view.list("role/")

    async def urls(self) -> dict[str, Any]:
        """The lists in ``URL_MEMBERS`` and ``enable_templating``."""
        body = await self._object("urls") or {}
        lists = {name: body.get(name) or [] for name in URL_MEMBERS}
        return {**lists, "enable_templating": body.get("enable_templating") is True}

    async def put_urls(self, urls: dict[str, Any]) -> None:
        """Durable on return."""
        await self._view.apply([_put("urls", urls)])

    # -- certificates ------------------------------------------------------------------------

    async def put_certificate(self, certificate: x509.Certificate) -> None:
        """Durable on return."""
        name = _dashed(serial_text(certificate.serial_number))
        await self._view.put(f"certs/{name}", cert_der(certificate))

    async def certificate(self, serial: str) -> x509.Certificate | None:
        """Raises RecordError."""
        stored = await self._view.get(f"certs/{_dashed(serial)}")
        try:
            return None if stored is None else x509.load_der_x509_certificate(stored)
        except ValueError:
            raise RecordError("pki: a stored certificate cannot be read") from None

    async def serials(self) -> list[str]:
        """Of all stored certificates, with colons."""
        return [name.replace("-", ":") for name in await self._view.list("certs/")]

    async def revoke(self, certificate: x509.Certificate, issuer_id: str, now_ns: int) -> Revoked:
        """Note that a certificate is revoked; an earlier note stays."""
        serial = serial_text(certificate.serial_number)
        known = await self.revoked(serial)
        if known is not None:
            return known
        body = {
            "certificate_bytes": base64.b64encode(cert_der(certificate)).decode(),
            "revocation_time": now_ns // SECOND_NS,
            "revocation_time_utc": format_time(now_ns),
            "issuer_id": issuer_id,
        }
        await self._view.apply([_put(f"revoked/{_dashed(serial)}", body)])
        return Revoked(now_ns, issuer_id)

    async def revoked(self, serial: str) -> Revoked | None:
        """The note, if there is one. Raises RecordError."""
        body = await self._object(f"revoked/{_dashed(serial)}")
        if body is None:
            return None
        when, issuer = body.get("revocation_time"), body.get("issuer_id", "")
        if type(when) is not int or not isinstance(issuer, str):
            raise RecordError("pki: a revocation cannot be read")
        return Revoked(when * SECOND_NS, issuer)

    async def all_revoked(self) -> list[tuple[int, int]]:
        """Serial and time (ns) of every revoked certificate. Raises RecordError."""
        found = []
        for name in await self._view.list("revoked/"):
            note = await self.revoked(name)
            if note is not None:
                found.append((_number(name), note.when_ns))
        return found


def _number(dashed: str) -> int:
    try:
        return int.from_bytes(binascii.unhexlify(dashed.replace("-", "")), "big")
    except ValueError:
        raise RecordError("pki: a serial number cannot be read") from None


def _put(key: str, body: dict[str, Any]) -> Put:
    return Put(key, gojson.dumps(body, sort_keys=False, newline=True))
