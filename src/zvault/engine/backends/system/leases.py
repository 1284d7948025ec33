"""``sys/leases`` and its older names.

What lives here: fields and answers. What never does: how a lease ends
(``engine/leases/expiration.py``).
Source: ``docs/api/sys.md``.
"""

import sys
from collections import Counter
from typing import Any

from zvault.base.gotime import NEVER_NS, SECOND_NS, ZERO_NS, format_time
from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InvalidRequestError
from zvault.engine.leases.book import expiry_ns
from zvault.engine.services import Services
from zvault.engine.userdata import Timestamp
from zvault.records.leases import secret_of

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
_KIND = {"type": Field(FieldKind.STRING, ""), "limit": Field(FieldKind.STRING, "")}
_LIMIT = 10_000
_PREFIX = {"prefix": Field(FieldKind.STRING, ""), "sync": Field(FieldKind.BOOL, True)}


class Leases:
    """Routes about leases."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route("leases/lookup", {Operation.UPDATE: self._lookup}, _FIELDS),
            Route("leases/count", {Operation.READ: self._count}, _KIND),
            Route("leases/lookup/(?P<prefix>.*)", {Operation.LIST: self._list}, _PREFIX),
            *self._twice("renew(?:/(?P<url_lease_id>.+))?", self._renew, _FIELDS),
            *self._twice("revoke-prefix/(?P<prefix>.+)", self._revoke_prefix, _PREFIX),
            *self._twice("revoke-force/(?P<prefix>.+)", self._revoke_force, _PREFIX),
            *self._twice("revoke(?:/(?P<url_lease_id>.+))?", self._revoke, _FIELDS),
            Route("leases/tidy", {Operation.UPDATE: self._tidy}),
            Route("leases", {Operation.READ: self._irrevocable}, _KIND),
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
        renewable = lease.auth.renewable if lease.auth is not None else secret_of(lease).renewable
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
        return await self._services.secrets.renew(_lease_id(data), data["increment"])

    async def _revoke(self, request: Request, data: FieldData) -> Response | None:
        lease_id, expiration = _lease_id(data), self._services.expiration
        if data["sync"]:
            await expiration.revoke(lease_id)
            return None
        await expiration.revoke_soon(lease_id)
        return _accepted()

    async def _revoke_prefix(self, request: Request, data: FieldData) -> Response | None:
        prefix, soon = _checked(data["prefix"]), not data["sync"]
        await self._services.expiration.revoke_prefix(prefix, soon=soon)
        return _accepted() if soon else None

    async def _revoke_force(self, request: Request, data: FieldData) -> None:
        await self._services.expiration.revoke_prefix(_checked(data["prefix"]), force=True)

    async def _tidy(self, request: Request, data: FieldData) -> Response:
        await self._services.expiration.tidy()
        return Response(status=202, warnings=[_TIDY])

    async def _count(self, request: Request, data: FieldData) -> Response | None:
        """How many leases cannot be revoked, by the accessor of their mount."""
        if data["type"] != "irrevocable":
            return None
        counts = Counter(self._mount_of(lease_id) for lease_id, _ in self._stuck())
        return Response(data={"lease_count": counts.total(), "counts": dict(counts)})

    async def _irrevocable(self, request: Request, data: FieldData) -> Response | None:
        """The leases that cannot be revoked, with what keeps them."""
        if data["type"] != "irrevocable":
            return None
        stuck = self._stuck()
        limit = _limit(data["limit"])
        if data["limit"] == "" and len(stuck) > limit:
            raise InvalidRequestError(
                f"command halted because the number of irrevocable leases ({len(stuck)}) exceeds "
                f"the default limit ({limit}); to override, set the limit"
            )
        shown = [
            {"lease_id": lease_id, "mount_id": self._mount_of(lease_id), "error": reason}
            for lease_id, reason in stuck[:limit]
        ]
        return Response(data={"lease_count": len(stuck), "leases": shown})

    def _stuck(self) -> list[tuple[str, str]]:
        book = self._services.leases
        return sorted({**book.unreadable, **book.irrevocable}.items())

    def _mount_of(self, lease_id: str) -> str:
        found = self._services.mounts.router.find(lease_id)
        return "mount-deleted" if found is None else found[1].entry.accessor


def _limit(text: str) -> int:
    """How many to show: a number, or ``none`` for all."""
    if text == "none":
        return sys.maxsize
    if not text:
        return _LIMIT
    if not text.isdecimal() or not text.isascii():
        raise InvalidRequestError(f"invalid 'limit' provided: {text!r} is no number")
    return int(text)


def _accepted() -> Response:
    """The revocation goes on by itself; no body."""
    return Response(status=202, raw_body=b"")


def _lease_id(data: FieldData) -> str:
    lease_id = data["url_lease_id"] or data["lease_id"]
    if not lease_id:
        raise InvalidRequestError("lease_id must be specified")
    return _checked(lease_id)


def _checked(path: str) -> str:
    if ".." in path:
        raise InvalidRequestError("relative paths not supported")
    return path
