"""The paths of a mount of type ``pki``.

What lives here: the path table, what anybody may read (CA, CRL, certificates), revocation. What
never does: certificates made (``issuing.py``), stored entries (``store.py``).
Invariant: a certificate whose lease is revoked is on the next revocation list.
Source: ``docs/api/pki.md``.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from zvault.base.gotime import SECOND_NS, format_time
from zvault.engine.api import Auth, MountContext, Operation, Request, Response, SecretGrant
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route, Router
from zvault.engine.backends.pki.certificates import (
    cert_der,
    cert_pem,
    expires_ns,
    revocation_list,
)
from zvault.engine.backends.pki.issuing import ISSUE_FIELDS, ROOT_FIELDS, Issuing
from zvault.engine.backends.pki.role import ROLE_FIELDS, role_of, shown
from zvault.engine.backends.pki.store import URL_MEMBERS, PkiStore, Revoked
from zvault.engine.errors import InvalidRequestError, UnsupportedOperationError

_READ, _UPDATE = Operation.READ, Operation.UPDATE
_DELETE, _LIST = Operation.DELETE, Operation.LIST
_ROLE = r"(?a:\w(?:[\w.-]*\w)?)"
_SERIAL = r"(?P<serial>[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2})*)"
_CRL_NS = 72 * 3600 * SECOND_NS
_CRL_KEPT_NS = 600 * SECOND_NS
_URL_FIELDS = {
    **{name: Field(FieldKind.COMMA_LIST, []) for name in URL_MEMBERS},
    "enable_templating": Field(FieldKind.BOOL, False),
}
_PEM_CHAIN = "application/pem-certificate-chain"


class Pki:
    """The backend of one mount."""

    unauthenticated_paths = ("ca", "ca/pem", "ca_chain", "crl", "crl/pem", "cert/*")
    root_paths = ("root",)

    def __init__(self, context: MountContext) -> None:
        self._context = context
        self._store = PkiStore(context.view, context.random_bytes)
        self._issuing = Issuing(context, self._store)
        self._router = Router(self._routes())
        self._crl: tuple[int, x509.CertificateRevocationList] | None = None
        self._revocations = 0

    def _routes(self) -> list[Route]:
        one_role = {_READ: self._read_role, _UPDATE: self._write_role, _DELETE: self._delete_role}
        serial = {"serial": Field(FieldKind.STRING, "")}
        revoke = {"serial_number": Field(FieldKind.STRING, "")}
        return [
            Route("root/generate/(?P<exported>[^/]+)", {_UPDATE: self._root}, ROOT_FIELDS),
            Route("config/urls", {_READ: self._urls, _UPDATE: self._put_urls}, _URL_FIELDS),
            Route("roles/?", {_LIST: self._role_names}),
            Route(f"roles/(?P<name>{_ROLE})", one_role, ROLE_FIELDS),
            Route(f"issue/(?P<role>{_ROLE})", {_UPDATE: self._issue}, ISSUE_FIELDS),
            Route("revoke", {_UPDATE: self._revoke}, revoke),
            Route("certs/?", {_LIST: self._serials}),
            Route("ca", {_READ: self._ca_der}),
            Route("(?:ca/pem|ca_chain)", {_READ: self._ca_pem}),
            Route("crl", {_READ: self._crl_der}),
            Route("crl/pem", {_READ: self._crl_pem}),
            Route("cert/(?:ca|ca_chain)", {_READ: self._ca_data}),
            Route("cert/crl", {_READ: self._crl_data}),
            Route(f"cert/{_SERIAL}", {_READ: self._certificate}, serial),
        ]

    async def start(self) -> None:
        """Nothing to prepare."""

    async def stop(self) -> None:
        """Nothing to end."""

    async def exists(self, request: Request) -> bool | None:
        """No path has an existence check."""
        return None

    async def handle(self, request: Request) -> Response | None:
        """Serve one request."""
        return await self._router.handle(request)

    async def renew(self, auth: Auth) -> Auth:
        """No logins here."""
        raise UnsupportedOperationError("1 error occurred:\n\t* unsupported operation\n\n")

    # -- leases ------------------------------------------------------------------------------

    async def renew_secret(self, grant: SecretGrant, increment_ns: int) -> SecretGrant:
        """A certificate's end is written into it."""
        raise InvalidRequestError("lease is not renewable")

    async def revoke_secret(self, internal_data: Mapping[str, Any]) -> None:
        """Onto the revocation list, unless it is over anyway or was never stored."""
        serial = internal_data.get("serial_number")
        if not isinstance(serial, str) or not serial:
            raise InvalidRequestError("could not find serial in internal secret data")
        certificate = await self._store.certificate(serial)
        if certificate is not None:
            await self._take_back(certificate)

    async def _take_back(self, certificate: x509.Certificate) -> Revoked | None:
        now = self._context.clock.now_ns()
        if expires_ns(certificate) <= now:
            return None
        issuer_id = await self._store.default_issuer_id()
        note = await self._store.revoke(certificate, issuer_id, now)
        self._revocations += 1
        self._crl = None
        return note

    async def _revoke(self, request: Request, data: FieldData) -> Response:
        serial = data["serial_number"]
        if not serial:
            raise InvalidRequestError("The serial number must be provided")
        certificate = await self._store.certificate(serial)
        if certificate is None:
            raise InvalidRequestError(f"certificate with serial {serial} not found")
        issuer = await self._store.issuer()
        if issuer is not None and issuer.certificate.serial_number == certificate.serial_number:
            raise InvalidRequestError("adding issuer to its own CRL is not allowed")
        note = await self._take_back(certificate)
        if note is None:
            return Response(warnings=["certificate already expired; refusing to add to CRL"])
        return Response(
            data={
                "revocation_time": note.when_ns // SECOND_NS,
                "revocation_time_rfc3339": format_time(note.when_ns),
                "state": "revoked",
            }
        )

    # -- roles, URLs, certificates -----------------------------------------------------------

    async def _root(self, request: Request, data: FieldData) -> Response:
        return await self._issuing.root(data)

    async def _issue(self, request: Request, data: FieldData) -> Response:
        name = data["role"]
        role = await self._store.role(name)
        if role is None:
            raise InvalidRequestError(f"unknown role: {name}")
        return await self._issuing.issue(role, data)

    async def _read_role(self, request: Request, data: FieldData) -> Response | None:
        role = await self._store.role(data["name"])
        return None if role is None else Response(data=shown(role))

    async def _write_role(self, request: Request, data: FieldData) -> Response:
        role = role_of(data)
        await self._store.put_role(data["name"], role)
        return Response(data=shown(role))

    async def _delete_role(self, request: Request, data: FieldData) -> None:
        await self._store.delete_role(data["name"])

    async def _role_names(self, request: Request, data: FieldData) -> Response | None:
        names = await self._store.role_names()
        return Response(data={"keys": names}) if names else None

    async def _urls(self, request: Request, data: FieldData) -> Response:
        return Response(data=await self._store.urls())

    async def _put_urls(self, request: Request, data: FieldData) -> Response:
        known = await self._store.urls()
        for name in URL_MEMBERS:
            known[name] = data.get(name, known[name])
            for url in known[name]:
                if not _is_url(url):
                    raise InvalidRequestError(
                        "invalid URL found in Authority Information Access (AIA) parameter "
                        f"{name}: {url}"
                    )
        if data["enable_templating"]:
            raise InvalidRequestError("this server does not fill in templates of URLs")
        await self._store.put_urls(known)
        return Response(data=known)

    async def _serials(self, request: Request, data: FieldData) -> Response | None:
        found = await self._store.serials()
        return Response(data={"keys": found}) if found else None

    async def _certificate(self, request: Request, data: FieldData) -> Response | None:
        certificate = await self._store.certificate(data["serial"])
        if certificate is None:
            return None
        return _described(cert_pem(certificate), await self._store.revoked(data["serial"]))

    # -- CA and CRL --------------------------------------------------------------------------

    async def _ca_der(self, request: Request, data: FieldData) -> Response:
        issuer = await self._store.issuer()
        body = b"" if issuer is None else cert_der(issuer.certificate)
        return _raw(body, "application/pkix-cert")

    async def _ca_pem(self, request: Request, data: FieldData) -> Response:
        issuer = await self._store.issuer()
        body = "" if issuer is None else cert_pem(issuer.certificate).rstrip("\n")
        return _raw(body.encode(), _PEM_CHAIN)

    async def _ca_data(self, request: Request, data: FieldData) -> Response:
        issuer = await self._store.issuer()
        if issuer is None:
            raise InvalidRequestError("no default issuer currently configured")
        return _described(cert_pem(issuer.certificate), None)

    async def _current_crl(self, encoding: Encoding) -> bytes:
        """The list as it is now; b"" without CA. Signed again when something changed."""
        issuer = await self._store.issuer()
        if issuer is None:
            return b""
        now = self._context.clock.now_ns()
        kept = self._crl
        if kept is None or now - kept[0] >= _CRL_KEPT_NS:
            before = self._revocations
            made = revocation_list(
                await self._store.all_revoked(),
                issuer.key,
                issuer.certificate,
                now_ns=now,
                next_ns=now + _CRL_NS,
                number=now // 1_000_000,
            )
            kept = (now, made)
            # One that was made while a certificate was revoked may lack it: not kept.
            self._crl = kept if before == self._revocations else None
        return kept[1].public_bytes(encoding)

    async def _crl_der(self, request: Request, data: FieldData) -> Response:
        return _raw(await self._current_crl(Encoding.DER), "application/pkix-crl")

    async def _crl_pem(self, request: Request, data: FieldData) -> Response:
        body = await self._current_crl(Encoding.PEM)
        return _raw(body.rstrip(b"\n"), "application/x-pem-file")

    async def _crl_data(self, request: Request, data: FieldData) -> Response | None:
        body = await self._current_crl(Encoding.PEM)
        return _described(body.decode(), None) if body else None


def _raw(body: bytes, content_type: str) -> Response:
    return Response(raw_body=body, raw_content_type=content_type, status=200 if body else 204)


def _described(pem: str, note: Revoked | None) -> Response:
    data: dict[str, Any] = {
        "certificate": pem.rstrip("\n"),
        "revocation_time": 0 if note is None else note.when_ns // SECOND_NS,
        "revocation_time_rfc3339": "" if note is None else format_time(note.when_ns),
    }
    if note is not None and note.issuer_id:
        data["issuer_id"] = note.issuer_id
    return Response(data=data)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) and bool(parts.netloc) and text.isascii() and text.isprintable()


def make(context: MountContext) -> Pki:
    """The backend for one mount."""
    return Pki(context)
