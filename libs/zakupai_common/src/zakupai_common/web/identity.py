"""Who asks: told by the gateway, proven by an HMAC, believed by nobody without it.

What lives here: the caller, the signature over the identity headers, the middleware that refuses a
request without a valid one. What never does: logins, tokens, API keys; those end at the gateway.
Invariant: every path but the open ones needs a signature that is at most ``MAX_AGE_SECONDS`` old
and covers method, path, query and every identity header, under a key that only the gateway and
this one service hold.
"""

import hmac
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from zakupai_common.web.errors import ProblemError

USER, PLAN, SCOPES = "X-Zakupai-User", "X-Zakupai-Plan", "X-Zakupai-Scopes"
REQUEST_ID, SIGNATURE = "X-Request-Id", "X-Zakupai-Gateway"
_TOLD = (USER, PLAN, SCOPES, REQUEST_ID)
PREFIX = "x-zakupai-"
"""Of every header that a gateway strips from what comes from outside."""
MAX_AGE_SECONDS = 60
OPEN_PATHS = frozenset({"/health", "/ready", "/metrics"})
_VERSION = "v1"
_SIGNATURE_FORM = re.compile(r"v1:(\d{13}):([0-9a-f]{64})")
_PRINTABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?|")
_RAW = {name.lower().encode(): name for name in (USER, PLAN, SCOPES, REQUEST_ID, SIGNATURE)}


@dataclass(frozen=True)
class Caller:
    """``user``: an id of billing, or ``service:NAME``; ``scopes``: what it may do."""

    user: str
    plan: str
    scopes: frozenset[str]
    request_id: str

    def may(self, scope: str) -> bool:
        """Whether the caller has this scope."""
        return scope in self.scopes


def identity_headers(
    key: bytes,
    method: str,
    target: str,
    *,
    user: str,
    plan: str = "",
    scopes: Sequence[str] = (),
    request_id: str,
    now_ms: int | None = None,
) -> dict[str, str]:
    """The headers that make a request believable to the service that holds ``key``.

    ``target`` is path and query as the service will see them, still percent-encoded. Raises
    ValueError when a value is no printable ASCII.
    """
    told = {
        USER: _printable(USER, user),
        PLAN: _printable(PLAN, plan),
        SCOPES: _printable(SCOPES, " ".join(sorted(scopes)) if scopes else ""),
    }
    if not _PRINTABLE.fullmatch(request_id):
        raise ValueError(f"{REQUEST_ID} must be printable ASCII")
    told[REQUEST_ID] = request_id
    moment = str(time.time_ns() // 1_000_000 if now_ms is None else now_ms)
    mac = _mac(key, moment, method, target.encode("ascii"), told)
    told[SIGNATURE] = f"{_VERSION}:{moment}:{mac}"
    return told


@lru_cache(maxsize=4096)
def _printable(name: str, value: str) -> str:
    if not _PRINTABLE.fullmatch(value):
        raise ValueError(f"{name} must be printable ASCII")
    return value


def _mac(key: bytes, moment: str, method: str, target: bytes, told: dict[str, str]) -> str:
    # No part can hold a line break, so the parts cannot be shifted against each other.
    parts = (_VERSION, moment, method, *[told[name] for name in _TOLD], "")
    return hmac.digest(key, "\n".join(parts).encode("latin-1") + target, "sha256").hex()


def verify(scope: Scope, keys: Sequence[bytes], now_ms: int) -> Caller:
    """The caller of this request. Raises ProblemError 401 saying what is wrong with the proof."""
    told = _headers(scope)
    found = _SIGNATURE_FORM.fullmatch(told.pop(SIGNATURE, ""))
    if not found:
        raise _refused("identity-missing", "requests come through the gateway")
    moment, mac = found.groups()
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    right = [_mac(key, moment, scope["method"], target, told) for key in keys]
    if not any([hmac.compare_digest(mac, candidate) for candidate in right]):  # noqa: C419
        raise _refused("identity-invalid", "the identity headers are not the gateway's")
    if abs(now_ms - int(moment)) > MAX_AGE_SECONDS * 1000:
        raise _refused("identity-expired", "the identity headers are too old, or a clock is wrong")
    if not told[USER]:
        raise _refused("identity-missing", "the gateway named no user")
    return Caller(told[USER], told[PLAN], frozenset(told[SCOPES].split()), told[REQUEST_ID])


def _headers(scope: Scope) -> dict[str, str]:
    """The identity headers; one that comes twice is joined and so fails the check."""
    told = {USER: "", PLAN: "", SCOPES: "", REQUEST_ID: ""}
    seen: set[bytes] = set()
    for raw, value in scope["headers"]:
        name = _RAW.get(raw)
        if name is None:
            continue
        if raw in seen:
            raise _refused("identity-invalid", f"{name} comes twice")
        seen.add(raw)
        told[name] = value.decode("latin-1")
    return told


def _refused(slug: str, detail: str) -> ProblemError:
    return ProblemError(401, slug, detail, headers={"WWW-Authenticate": "Zakupai-Gateway"})


class Identity:
    """ASGI middleware; ``keys`` gives the keys that count now, read at every request."""

    def __init__(
        self,
        app: ASGIApp,
        keys: Callable[[], Sequence[bytes]],
        open_paths: frozenset[str] = OPEN_PATHS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._keys = keys
        self._open = open_paths
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        try:
            caller = verify(scope, self._keys(), int(self._clock() * 1000))
        except ProblemError as problem:
            await problem.send(send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


CallerDependency = Annotated[Caller, Depends(_caller)]
"""``caller: CallerDependency`` in a route's signature."""


def need_scope(*any_of: str) -> Any:
    """``dependencies=[need_scope("billing:admin")]``: 403 for callers with none of the scopes."""

    def check(caller: CallerDependency) -> None:
        if not caller.scopes.intersection(any_of):
            wanted = " or ".join(any_of)
            raise ProblemError(403, "scope-missing", f"this needs the scope {wanted}")

    return Depends(check)
