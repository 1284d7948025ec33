"""``auth/token/renew*``, ``revoke*``, ``tidy``.

What lives here: fields and texts. A token is never part of a path, because audit records and the
logs of proxies show paths. What never does: how a token is renewed or goes
(``engine/tokens/service.py``).
"""

from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Auth, Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Handler, Route
from zvault.engine.backends.token.lookup import invalid_accessor
from zvault.engine.errors import InvalidRequestError
from zvault.engine.services import Services
from zvault.engine.tokens.batch import is_batch
from zvault.engine.tokens.service import USED_UP
from zvault.records.tokens import TokenEntry

_TIDY = (
    "Tidy operation successfully started. Any information from the operation will be printed to "
    "Vault's server logs."
)
_FIELDS = {
    "token": Field(FieldKind.STRING, ""),
    "accessor": Field(FieldKind.STRING, ""),
    "increment": Field(FieldKind.DURATION, 0),
}


class TokenLifecycle:
    """Renews and revokes on request."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The path table."""

        def route(pattern: str, handler: Handler) -> Route:
            return Route(pattern, {Operation.UPDATE: handler}, _FIELDS)

        return [
            route("renew-self", self._renew_self),
            route("renew-accessor", self._renew_accessor),
            route("renew", self._renew),
            route("revoke-self", self._revoke_self),
            route("revoke-accessor", self._revoke_accessor),
            route("revoke-orphan", self._revoke_orphan),
            route("revoke", self._revoke),
            route("tidy", self._tidy),
        ]

    def _inner(self, token: str) -> str | None:
        return self._services.tokens.store.inner_id(token)

    async def _inner_of_accessor(self, accessor: str) -> str | None:
        if not accessor:
            raise InvalidRequestError("missing accessor")
        return await self._services.tokens.store.id_of_accessor(accessor)

    async def _renew_self(self, request: Request, data: FieldData) -> Response:
        return await self._renewed(request.client_token, data["increment"])

    async def _renew(self, request: Request, data: FieldData) -> Response:
        token = data["token"]
        if not token:
            raise InvalidRequestError("missing token ID")
        return await self._renewed(token, data["increment"])

    async def _renew_accessor(self, request: Request, data: FieldData) -> Response:
        inner = await self._inner_of_accessor(data["accessor"])
        if inner is None:
            raise invalid_accessor()
        response = await self._renewed(inner, data["increment"])
        assert response.auth is not None
        response.auth.client_token = ""
        return response

    async def _renewed(self, token: str, increment_ns: int) -> Response:
        if is_batch(token):
            raise InvalidRequestError("batch tokens cannot be renewed")
        inner = self._inner(token)
        if inner is None:
            raise InvalidRequestError("token not found")
        entry, auth, warnings = await self._services.tokens.renew(inner, increment_ns)
        return Response(auth=self._shown(entry, auth), warnings=warnings)

    def _shown(self, entry: TokenEntry, auth: Auth) -> Auth:
        who = self._services.identity.view_of(entry.entity_id) if entry.entity_id else None
        auth.accessor = entry.accessor
        auth.entity_id = entry.entity_id
        auth.token_policies = entry.policies
        auth.identity_policies = () if who is None else who.policies
        auth.metadata = dict(entry.meta)
        auth.num_uses = entry.num_uses
        auth.orphan = not entry.parent
        auth.ttl_ns = auth.lease_seconds * SECOND_NS
        auth.token_type = "service"  # noqa: S105 - a kind of token
        return auth

    async def _revoke_self(self, request: Request, data: FieldData) -> None:
        if is_batch(request.client_token):
            raise InvalidRequestError("batch tokens cannot be revoked")
        if request.token is not None and request.token.num_uses != USED_UP:
            await self._services.revocation.revoke_tree(request.token.id)

    async def _revoke(self, request: Request, data: FieldData) -> None:
        token = data["token"]
        if not token:
            raise InvalidRequestError("missing token ID")
        if is_batch(token):
            raise InvalidRequestError("batch tokens cannot be revoked")
        inner = self._inner(token)
        if inner is not None:
            await self._services.revocation.revoke_tree(inner)

    async def _revoke_accessor(self, request: Request, data: FieldData) -> Response | None:
        inner = await self._inner_of_accessor(data["accessor"])
        if inner is None or not await self._services.revocation.revoke_tree(inner):
            return Response(warnings=["No token found with this accessor"])
        return None

    async def _revoke_orphan(self, request: Request, data: FieldData) -> None:
        token = data["token"]
        if not token:
            raise InvalidRequestError("missing token ID")
        if is_batch(token):
            raise InvalidRequestError("batch tokens cannot be revoked")
        inner = self._inner(token)
        if inner is None or not await self._services.revocation.revoke_orphan(inner):
            raise InvalidRequestError("token to revoke not found")

    async def _tidy(self, request: Request, data: FieldData) -> Response:
        await self._services.revocation.tidy()
        return Response(status=202, warnings=[_TIDY])
