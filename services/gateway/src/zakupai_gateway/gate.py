"""Who may pass to the services, and as whom.

What lives here: the way of a request below ``/api/``: path, caller, limits, identity, service; its
whole security argument is ``_pass``. What never does: connections, tokens, counting.
Invariants: what a client says about itself ends here and what we found out goes on, signed for the
one service that gets it; a request that is refused has cost its address one of its own.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

from zakupai_common.web.errors import ProblemError
from zakupai_common.web.identity import identity_headers
from zakupai_gateway import paths
from zakupai_gateway.caller import ANONYMOUS, Caller
from zakupai_gateway.charging import charge, with_limits
from zakupai_gateway.client_address import Network, client_address
from zakupai_gateway.credential import NONE, Credential, credential_of, unauthorized
from zakupai_gateway.headers import HeaderRefusedError, to_service
from zakupai_gateway.limits.gcra import Charge, Decision
from zakupai_gateway.limits.limiter import Limiter
from zakupai_gateway.passage import Onward
from zakupai_gateway.table import Table, Upstream

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
HIDDEN = frozenset({"/metrics", "/ready"})
"""What a service says to its operators only."""
Authenticate = Callable[[Credential, str, str], Awaitable[Caller]]
"""Gets the credential, the client's address and the service. Raises ProblemError."""


class Endpoint:
    """What logs and metrics call a request below ``/api/``; one for each service."""

    def __init__(self, service: str) -> None:
        self.path = f"/api/{service}"


class Gate:
    """ASGI app. ``services``: what handles the requests of each service in the table."""

    def __init__(
        self,
        table: Table,
        services: Mapping[str, ASGIApp],
        authenticate: Authenticate,
        limiter: Limiter,
        identity_key: Callable[[str], bytes],
        trusted: tuple[Network, ...] = (),
    ) -> None:
        self._table = table
        self._services = services
        self._authenticate = authenticate
        self._limiter = limiter
        self._identity_key = identity_key
        self._trusted = trusted
        self._endpoints = {name: Endpoint(name) for name in table.upstreams}
        self._of_route = {
            name: Charge("route", f"route:{name}", upstream.limit)
            for name, upstream in table.upstreams.items()
        }
        remembered = lru_cache(maxsize=4096)
        self._of_ip = remembered(lambda address: Charge("ip", f"ip:{address}", table.ip))
        self._of_key = remembered(lambda key: Charge("key", f"key:{key}", table.key))
        self._of_user = remembered(lambda user: Charge("user", f"user:{user}", table.user))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        upstream, path = self._find(scope)
        headers = scope["headers"]
        address = address_of(scope, self._trusted)
        decision, caller = await self._pass(scope, upstream, path, address)
        target = upstream.prefix + path + (f"?{_query(scope)}" if scope["query_string"] else "")
        try:
            kept = to_service(headers)
        except HeaderRefusedError as error:
            raise ProblemError(400, "header-refused", str(error)) from None
        state = scope.setdefault("state", {})
        state["caller"] = caller  # the log's
        state["onward"] = Onward(
            target, [*kept, *self._told(scope, upstream, caller, target, address)]
        )
        service = self._services[upstream.name]
        await service(scope, receive, with_limits(send, decision) if decision else send)

    def _find(self, scope: Scope) -> tuple[Upstream, str]:
        """The service and its path. Raises ProblemError."""
        try:
            target = paths.split(scope["raw_path"])
        except paths.PathRefusedError as error:
            raise ProblemError(400, "path-refused", str(error)) from None
        except paths.UnknownPathError:
            raise ProblemError(404, "not-found", "no service has this path") from None
        upstream = self._table.upstreams.get(target.service)
        if target.service in self._table.absent:
            raise ProblemError(503, "service-absent", f"{target.service} is not deployed here")
        if upstream is None or unquote(target.path) in HIDDEN:
            raise ProblemError(404, "not-found", "no service has this path")
        scope["route"] = self._endpoints[upstream.name]
        if scope["method"] not in METHODS:
            allowed = {"Allow": ", ".join(sorted(METHODS))}
            raise ProblemError(405, "method-not-allowed", "no service has it", headers=allowed)
        if _wants_websocket(scope):
            raise websocket_refused()
        return upstream, target.path

    async def _pass(
        self, scope: Scope, upstream: Upstream, path: str, address: str
    ) -> tuple[Decision | None, Caller]:
        """Find out who it is, charge the request, then refuse it or let it through."""
        refusal: ProblemError | None = None
        caller: Caller | None = None
        try:
            credential = credential_of(scope["headers"])
            if credential is not NONE:
                caller = await self._authenticate(credential, address, upstream.name)
            elif (scope["method"], path) in upstream.public:
                caller = ANONYMOUS
            else:
                refusal = unauthorized("login-needed", "log in, or show an API key")
        except ProblemError as problem:
            refusal = problem
        decision = await self._charge(upstream, address, caller)
        if refusal is not None:
            raise refusal
        assert caller is not None
        return decision, caller

    async def _charge(
        self, upstream: Upstream, address: str, caller: Caller | None
    ) -> Decision | None:
        charges = [self._of_ip(address)]
        if caller is not None:
            charges.append(self._of_route[upstream.name])
            if caller.key is not None:
                charges.append(self._of_key(caller.key))
            if caller is not ANONYMOUS:
                charges.append(self._of_user(caller.user))
        return await charge(self._limiter, charges, upstream.redis_away)

    def _told(
        self, scope: Scope, upstream: Upstream, caller: Caller, target: str, address: str
    ) -> Sequence[tuple[str, str]]:
        """What the service learns from us."""
        identity = identity_headers(
            self._identity_key(upstream.name),
            scope["method"],
            target,
            user=caller.user,
            plan=caller.plan,
            scopes=caller.scopes,
            request_id=scope["state"]["request_id"],
        )
        forwarded = (("X-Forwarded-For", address), ("X-Forwarded-Proto", scope["scheme"]))
        return (*identity.items(), *forwarded)


def address_of(scope: Scope, trusted: tuple[Network, ...]) -> str:
    """Where the request comes from, as far as it can be believed."""
    peer = scope["client"][0] if scope.get("client") else ""
    forwarded = (
        [value for name, value in scope["headers"] if name == b"x-forwarded-for"] if trusted else ()
    )
    return client_address(peer, forwarded, trusted)


def _wants_websocket(scope: Scope) -> bool:
    headers = scope["headers"]
    return any(name == b"upgrade" and b"websocket" in value.lower() for name, value in headers)


def websocket_refused() -> ProblemError:
    """501: nobody here speaks it."""
    return ProblemError(501, "websocket-unsupported", "no service here speaks WebSocket")


def _query(scope: Scope) -> str:
    try:
        return str(scope["query_string"].decode("ascii"))
    except UnicodeDecodeError:
        raise ProblemError(400, "path-refused", "the query is no ASCII") from None
