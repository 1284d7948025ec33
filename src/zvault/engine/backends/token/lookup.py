"""``auth/token/lookup`` and its relatives, and the list of accessors.

What lives here: what is told about a token. Invariant: nobody learns a token from an accessor.
"""

from typing import Any

from zvault.base.gotime import NEVER_NS, SECOND_NS, ZERO_NS, format_time
from zvault.base.secret import same_text
from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InvalidRequestError, PermissionDeniedError
from zvault.engine.services import Services
from zvault.engine.tokens.leases import remaining_ns
from zvault.engine.tokens.sessions import Session
from zvault.engine.userdata import Timestamp
from zvault.records.tokens import BATCH

_TOKEN = {"token": Field(FieldKind.STRING, "")}


def invalid_accessor() -> InvalidRequestError:
    """Vault's words for an accessor of no token."""
    return InvalidRequestError("1 error occurred:\n\t* invalid accessor\n\n")


class TokenLookup:
    """Answers questions about tokens."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The path table."""
        by_body = {Operation.UPDATE: self._lookup, Operation.READ: self._lookup}
        by_self = {Operation.UPDATE: self._lookup_self, Operation.READ: self._lookup_self}
        accessor = {"accessor": Field(FieldKind.STRING, "")}
        return [
            Route("lookup", by_body, _TOKEN),
            Route("lookup-self", by_self, _TOKEN),
            Route(
                "lookup-accessor(?:/(?P<accessor>.+))?",
                {Operation.UPDATE: self._lookup_accessor},
                accessor,
            ),
            Route("accessors/?", {Operation.LIST: self._accessors}),
        ]

    async def _lookup(self, request: Request, data: FieldData) -> Response:
        return await self._answer(data["token"] or request.client_token, request)

    async def _lookup_self(self, request: Request, data: FieldData) -> Response:
        return await self._answer(request.client_token, request)

    async def _answer(self, token: str, request: Request) -> Response:
        session = await self._services.sessions.find(token, self._services.clock.now_ns())
        caller = request.token
        if session is None and caller is not None and same_text(token, request.client_token):
            # A token on its last use can still look at itself.
            session = await self._services.sessions.read(caller.id, used_up=True)
        if session is None:
            raise PermissionDeniedError("bad token")
        return Response(data=self.described(session, token))

    async def _lookup_accessor(self, request: Request, data: FieldData) -> Response:
        accessor = data["accessor"]
        if not accessor:
            raise InvalidRequestError("missing accessor")
        session = await self.session_of(accessor)
        return Response(data=self.described(session, ""))

    async def session_of(self, accessor: str) -> Session:
        """The session behind an accessor. Raises InvalidRequestError."""
        inner = await self._services.tokens.store.id_of_accessor(accessor)
        session = None
        if inner is not None:
            session = await self._services.sessions.find(inner, self._services.clock.now_ns())
        if session is None or not same_text(session.token.accessor, accessor):
            raise invalid_accessor()
        return session

    async def _accessors(self, request: Request, data: FieldData) -> Response:
        return Response(data={"keys": sorted(await self._services.tokens.store.accessors())})

    def described(self, session: Session, shown_id: str) -> dict[str, Any]:
        """The answer of every look-up."""
        entry, lease = session.token, session.lease
        now = self._services.clock.now_ns()
        data: dict[str, Any] = {
            "accessor": entry.accessor,
            "creation_time": entry.creation_time,
            "creation_ttl": entry.ttl_ns // SECOND_NS,
            "display_name": entry.display_name,
            "entity_id": entry.entity_id,
            "expire_time": None,
            "explicit_max_ttl": entry.explicit_max_ttl_ns // SECOND_NS,
            "id": shown_id,
            "meta": dict(entry.meta) or None,
            "num_uses": entry.num_uses,
            "orphan": not entry.parent,
            "path": entry.path,
            "policies": list(entry.policies),
            "ttl": (remaining_ns(session, now) + SECOND_NS // 2) // SECOND_NS,
            "type": "batch" if entry.type == BATCH else "service",
        }
        if session.expires_ns < NEVER_NS:
            data["expire_time"] = Timestamp(format_time(session.expires_ns))
        if lease is not None:
            data["issue_time"] = Timestamp(format_time(lease.issue_time_ns))
            data["renewable"] = lease.auth is not None and lease.auth.renewable
            if lease.last_renewal_time_ns != ZERO_NS:
                data["last_renewal"] = Timestamp(format_time(lease.last_renewal_time_ns))
                data["last_renewal_time"] = lease.last_renewal_time_ns // SECOND_NS
        elif entry.type == BATCH or entry.path != "auth/token/root":
            # A root token that never ends has a lease in Vault, and none here to say this.
            data["issue_time"] = Timestamp(format_time(entry.creation_time * SECOND_NS))
            data["renewable"] = False
        if entry.role:
            data["role"] = entry.role
        if entry.period_ns:
            data["period"] = entry.period_ns // SECOND_NS
        if entry.bound_cidrs:
            data["bound_cidrs"] = list(entry.bound_cidrs)
        if session.identity_policies:
            data["identity_policies"] = list(session.identity_policies)
            data["external_namespace_policies"] = {}
        return data
