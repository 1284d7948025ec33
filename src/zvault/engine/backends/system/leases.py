"""``sys/leases`` and its older names.

What lives here: fields and answers. What never does: how a lease ends (``engine/expiration.py``).
Source: ``docs/api/sys.md``.
"""

from typing import Any

from zvault.base.gotime import SECOND_NS, ZERO_NS, format_time
from zvault.engine.api import Operation, Request, Response
from zvault.engine.errors import InvalidRequestError
from zvault.engine.fields import FieldKind
from zvault.engine.framework import Field, FieldData, Route
from zvault.engine.leases import NEVER_NS, expiry_ns
from zvault.engine.services import Services
from zvault.engine.userdata import Timestamp

_TIDY = (
    "Tidy operation successfully started. Any information from the operation will be printed to "
    "Vault's server logs."
)
_FIELDS = {
    "lease_id": Field(FieldKind.STRING, ""),
    "url_lease_id": Field(FieldKind.STRING, ""),
    "increment": Field(FieldKind.DURATION, 0),
    "sync": Field(FieldKind.BOOL, True),
}
_PREFIX = {"prefix": Field(FieldKind.STRING, ""), "sync": Field(FieldKind.BOOL, True)}


class Leases:
    """Routes about leases."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route("leases/lookup", {Operation.UPDATE: self._lookup}, _FIELDS),
            Route("leases/lookup/(?P<prefix>.*)", {Operation.LIST: self._list}, _PREFIX),
            *self._twice("renew(?:/(?P<url_lease_id>.+))?", self._renew, _FIELDS),
            *self._twice("revoke-prefix/(?P<prefix>.+)", self._revoke_prefix, _PREFIX),
            *self._twice("revoke-force/(?P<prefix>.+)", self._revoke_prefix, _PREFIX),
            *self._twice("revoke(?:/(?P<url_lease_id>.+))?", self._revoke, _FIELDS),
            Route("leases/tidy", {Operation.UPDATE: self._tidy}),
            Route("leases/?", {Operation.READ: self._count, Operation.LIST: self._count}),
        ]

    @staticmethod
    def _twice(pattern: str, handler: Any, fields: dict[str, Field]) -> list[Route]:
        operations = {Operation.UPDATE: handler}
        return [Route(f"leases/{pattern}", operations, fields), Route(pattern, operations, fields)]

    async def _lookup(self, request: Request, data: FieldData) -> Response:
        lease_id = data["lease_id"]
        if not lease_id:
            raise InvalidRequestError("lease_id must be specified")
        lease = await self._services.leases.read(_checked(lease_id))
        if lease is None:
            raise InvalidRequestError("invalid lease")
        now = self._services.clock.now_ns()
        ends = expiry_ns(lease)
        renewed = lease.last_renewal_time_ns
        renewable = (
            lease.auth.renewable if lease.auth is not None else _secret_renewable(lease.secret)
        )
        return Response(
            data={
                "id": lease_id,
                "issue_time": Timestamp(format_time(lease.issue_time_ns)),
                "expire_time": None if ends >= NEVER_NS else Timestamp(format_time(ends)),
                "last_renewal": None if renewed == ZERO_NS else Timestamp(format_time(renewed)),
                "renewable": renewable,
                "ttl": 0 if ends >= NEVER_NS else max(0, ends - now) // SECOND_NS,
            }
        )

    async def _list(self, request: Request, data: FieldData) -> Response:
        prefix = data["prefix"]
        if prefix and not prefix.endswith("/"):
            prefix += "/"
        return Response(data={"keys": await self._services.leases.children(_checked(prefix))})

    async def _renew(self, request: Request, data: FieldData) -> Response:
        lease = await self._services.leases.read(_lease_id(data))
        if lease is None:
            raise InvalidRequestError("lease not found")
        if lease.auth is not None:
            raise InvalidRequestError("tokens cannot be renewed through this endpoint")
        raise InvalidRequestError("lease is not renewable")

    async def _revoke(self, request: Request, data: FieldData) -> None:
        lease_id = _lease_id(data)
        lease = await self._services.leases.read(lease_id)
        if lease is not None and lease.auth is None:
            raise InvalidRequestError(
                "this server does not run the engine of this lease, so it cannot revoke it"
            )
        await self._services.expiration.revoke(lease_id)

    async def _revoke_prefix(self, request: Request, data: FieldData) -> None:
        await self._services.expiration.revoke_prefix(_checked(data["prefix"]))

    async def _tidy(self, request: Request, data: FieldData) -> Response:
        await self._services.expiration.tidy()
        return Response(status=202, warnings=[_TIDY])

    async def _count(self, request: Request, data: FieldData) -> Response:
        count = len(self._services.leases)
        return Response(data={"lease_count": count, "counts": {"root": count}})


def _lease_id(data: FieldData) -> str:
    lease_id = data["url_lease_id"] or data["lease_id"]
    if not lease_id:
        raise InvalidRequestError("lease_id must be specified")
    return _checked(lease_id)


def _checked(path: str) -> str:
    if ".." in path:
        raise InvalidRequestError("relative paths not supported")
    return path


def _secret_renewable(secret: Any) -> bool:
    return bool(isinstance(secret, dict) and secret.get("renewable"))
