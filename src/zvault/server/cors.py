"""Requests of web pages from other origins.

What lives here: the answer to a preflight, the refusal of a stranger, the headers that let a
browser hand the answer on; pure. What never does: which origins are allowed (the engine knows).
Invariant: without a configuration, or without an ``Origin``, nothing changes.
Source: ``vault-api.md`` 1.11.
"""

from typing import Protocol

from zvault.server.answers import Answer
from zvault.server.errors import error_answer

ALLOWED_METHODS = ("DELETE", "GET", "OPTIONS", "POST", "PUT", "LIST")
_MAX_AGE_SECONDS = 300


class CorsConfigPort(Protocol):
    """What the engine holds."""

    @property
    def enabled(self) -> bool: ...

    @property
    def allowed_headers(self) -> tuple[str, ...]: ...


class CorsPort(Protocol):
    """Who is let in."""

    @property
    def config(self) -> CorsConfigPort: ...

    def admits(self, origin: str) -> bool: ...


def decide_cors(cors: CorsPort, method: str, origin: str, wanted_method: str) -> Answer | None:
    """The whole answer to a refused origin and to a preflight; None: the request is served."""
    if not cors.admits(origin):
        return error_answer(403, "origin not allowed")
    if method != "OPTIONS":
        return None
    if wanted_method not in ALLOWED_METHODS:
        return error_answer(405)
    lines = {
        "Access-Control-Allow-Methods": ",".join(ALLOWED_METHODS),
        "Access-Control-Allow-Headers": ",".join(cors.config.allowed_headers),
        "Access-Control-Max-Age": str(_MAX_AGE_SECONDS),
    }
    return Answer(204, extra=origin_lines(origin) + _lines(lines))


def origin_lines(origin: str) -> bytes:
    """What tells the browser that a page of this origin may read the answer."""
    return _lines({"Access-Control-Allow-Origin": origin, "Vary": "Origin"})


def _lines(headers: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")
