"""HTTP in front of the engine: one complete request in, one answer out.

What lives here: the order of checks that come before the engine, and where each path goes. What
never does: bytes on a wire (``protocol``), the engine's rules.
Invariant: whatever the request is, the answer is one of Vault's; a request that the engine refuses
or that cannot be understood leaves no trace in it.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from html import escape
from typing import Any

from zvault.base.errors import ZvaultError
from zvault.engine.api import Operation, Request
from zvault.engine.errors import CodedError, EngineError, InternalEngineError
from zvault.server import raw, shareholders
from zvault.server.answers import Answer
from zvault.server.connections import Connections
from zvault.server.cors import CorsPort, decide_cors, origin_lines
from zvault.server.engine_port import EnginePort
from zvault.server.envelope import NOT_FOUND, answer_for
from zvault.server.errors import answer_of, error_answer
from zvault.server.forwarded import ForwardedForPolicy, decide_client_address
from zvault.server.protocol import WireRequest
from zvault.server.request_id import RequestIds
from zvault.server.translate import (
    PREFIX,
    MovedError,
    Query,
    body_data,
    query_data,
    read_operation,
    read_target,
    read_wrap_ttl,
)

log = logging.getLogger("zvault.server.http")
RawHandler = Callable[[WireRequest, Query], Awaitable[Answer]]
_WRITE_METHODS = ("PUT", "POST")
_KEPT_TARGETS, _MAX_KEPT_TARGET = 4096, 256
_UPDATE, _PATCH = Operation.UPDATE, Operation.PATCH


@dataclass(frozen=True, slots=True)
class ListenerPolicy:
    """What one listener lets through and how it reads addresses."""

    unauthenticated_metrics: bool = False
    prometheus: bool = True
    require_request_header: bool = False
    closed_paths: tuple[str, ...] = ()
    """Shareholders' paths below these are not served."""
    forwarded_for: ForwardedForPolicy = field(default_factory=ForwardedForPolicy)


class App:
    """The application of one listener."""

    def __init__(
        self,
        engine: EnginePort,
        connections: Connections,
        request_ids: RequestIds,
        policy: ListenerPolicy,
    ) -> None:
        self._engine = engine
        self._connections = connections
        self._ids = request_ids
        self._policy = policy
        self._targets: dict[bytes, str] = {}
        self._raw: dict[str, RawHandler] = {
            "sys/init": self._init,
            "sys/seal-status": self._seal_status,
            "sys/unseal": self._unseal,
            "sys/health": self._health,
            "sys/leader": self._leader,
            "sys/seal": self._seal,
            "sys/step-down": self._step_down,
            "sys/metrics": self._metrics,
            **{path: partial(self._shareholders, path) for path in shareholders.PATHS},
        }

    async def __call__(self, wire: WireRequest) -> Answer:
        """Answer one request. Raises nothing but bugs."""
        origin = wire.head.origin
        if origin:
            cors = self._engine.cors
            if cors is not None and cors.config.enabled:
                return await self._cross_origin(wire, cors, origin)
        return await self._answer(wire)

    async def _cross_origin(self, wire: WireRequest, cors: CorsPort, origin: str) -> Answer:
        wanted = wire.head.as_mapping().get("access-control-request-method", [""])[0]
        answer = decide_cors(cors, wire.method, origin, wanted)
        if answer is None:
            answer = await self._answer(wire)
            answer.extra += origin_lines(origin)
        return answer

    async def _answer(self, wire: WireRequest) -> Answer:
        try:
            path, query = self._read_target(wire.target)
            if not path.startswith(PREFIX):
                return Answer(404, NOT_FOUND)
            path = path[len(PREFIX) :]
            self._check_headers(wire)
            handler = self._raw.get(path)
            if handler is not None:
                return await handler(wire, query)
            return await self._logical(wire, path, query)
        except MovedError as moved:
            return _moved(wire.method, moved)
        except ZvaultError as error:
            return _refusal(error)

    def _read_target(self, target: bytes) -> tuple[str, Query]:
        """Plain targets are remembered, because clients read the same secrets again and again."""
        known = self._targets.get(target)
        if known is not None:
            return known, {}
        path, query = read_target(target)
        if b"?" not in target and len(target) <= _MAX_KEPT_TARGET:
            if len(self._targets) >= _KEPT_TARGETS:
                self._targets.clear()
            self._targets[target] = path
        return path, query

    def _check_headers(self, wire: WireRequest) -> None:
        if self._policy.require_request_header and not wire.head.vault_request:
            raise CodedError(412, "missing 'X-Vault-Request' header")
        if wire.head.namespace and wire.head.namespace != "root":
            raise CodedError(403, "this server has no namespaces")

    async def _logical(self, wire: WireRequest, path: str, query: Query) -> Answer:
        operation, path = read_operation(wire.method, path, query)
        request = self._request(wire, path, operation, query)
        request.answer_waits = True
        try:
            response = await self._engine.handle(request)
        except ZvaultError as error:
            answer = _refusal(error)
        else:
            answer = answer_for(request.id, operation, path, response)
        answer.owed = request.owed
        if request.answer_headers:
            lines = (f"{name}: {value}\r\n" for name, value in request.answer_headers.items())
            answer.extra += "".join(lines).encode("latin-1")
        return answer

    def _request(
        self,
        wire: WireRequest,
        path: str,
        operation: Operation,
        query: Query,
        data: dict[str, Any] | None = None,
    ) -> Request:
        head = wire.head
        if data is None:
            if operation is _UPDATE or operation is _PATCH:
                data = body_data(wire.method, head.content_type, wire.body)
            else:
                data = query_data(query) if query else {}
        return Request(
            id=self._ids.next(),
            operation=operation,
            path=path,
            data=data,
            client_token=head.token,
            remote_address=decide_client_address(
                self._policy.forwarded_for, wire.peer[0], head.forwarded_for
            ),
            remote_port=wire.peer[1],
            headers=head.as_mapping(),
            wrap_ttl_seconds=read_wrap_ttl(head.wrap_ttl) if head.wrap_ttl else 0,
        )

    # -- raw endpoints -----------------------------------------------------------------------

    async def _init(self, wire: WireRequest, query: Query) -> Answer:
        if wire.method == "GET":
            return await raw.init_status(self._engine)
        _only(wire, *_WRITE_METHODS)
        return await raw.initialize(self._engine, wire.body)

    async def _seal_status(self, wire: WireRequest, query: Query) -> Answer:
        _only(wire, "GET")
        return await raw.seal_status(self._engine)

    async def _unseal(self, wire: WireRequest, query: Query) -> Answer:
        _only(wire, *_WRITE_METHODS)
        return await raw.unseal(self._engine, wire.body)

    async def _health(self, wire: WireRequest, query: Query) -> Answer:
        _only(wire, "GET", "HEAD")
        return await raw.health(self._engine, query, draining=self._connections.draining)

    async def _leader(self, wire: WireRequest, query: Query) -> Answer:
        _only(wire, "GET")
        return raw.leader()

    async def _seal(self, wire: WireRequest, query: Query) -> Answer:
        _only(wire, *_WRITE_METHODS)
        if (await self._engine.seal_status()).sealed:
            return Answer(204)
        await self._engine.handle(self._request(wire, "sys/seal", Operation.UPDATE, {}))
        await self._engine.seal()
        if not (await self._engine.seal_status()).sealed:
            raise InternalEngineError("sealing did not end sealed")
        return Answer(204)

    async def _step_down(self, wire: WireRequest, query: Query) -> Answer:
        """Nobody to step down for; still only for whom the policies let."""
        _only(wire, *_WRITE_METHODS)
        await self._engine.handle(self._request(wire, "sys/step-down", Operation.UPDATE, {}))
        return Answer(204)

    async def _shareholders(self, path: str, wire: WireRequest, query: Query) -> Answer:
        if path.startswith(self._policy.closed_paths):
            raise CodedError(405)
        operation = shareholders.operation_of(path, wire.method)
        request = self._request(wire, path, operation, {}, raw.read_fields(wire.body))
        request.wrap_ttl_seconds = 0  # raw answers are never wrapped
        return shareholders.bare_answer(await self._engine.handle(request))

    async def _metrics(self, wire: WireRequest, query: Query) -> Answer:
        _only(wire, "GET")
        if not self._policy.unauthenticated_metrics:
            request = self._request(wire, "sys/metrics", Operation.READ, query)
            response = await self._engine.handle(request)
            if response is not None and response.wrap_info is not None:
                return answer_for(request.id, request.operation, request.path, response)
        return raw.metrics(
            self._engine, query, wire.head.accept, prometheus=self._policy.prometheus
        )


def _refusal(error: ZvaultError) -> Answer:
    if not isinstance(error, EngineError):
        log.error("%s: %s", error.code, error.message)
    return answer_of(error)


def _moved(method: str, moved: MovedError) -> Answer:
    """Where the path really is. A write is never turned into a read on the way (so 307)."""
    extra = f"Location: {moved.location}\r\n".encode("latin-1")
    if method in ("GET", "HEAD"):
        body = f'<a href="{escape(moved.location)}">Moved Permanently</a>.\n\n'
        return Answer(301, body.encode("latin-1"), b"text/html; charset=utf-8", extra)
    if moved.climbs:
        return error_answer(400, "relative paths not supported")
    return Answer(307, extra=extra)


def _only(wire: WireRequest, *methods: str) -> None:
    if wire.method not in methods:
        raise CodedError(405)
