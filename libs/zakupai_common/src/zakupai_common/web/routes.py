"""Names of requests for logs and metrics, from a set that a client cannot enlarge.

What lives here: the template of the matched route and the method. What never does: a raw path.
"""

from starlette.types import Scope

UNMATCHED = "unmatched"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def endpoint_of(scope: Scope) -> str:
    """``/history/{id}`` for ``/history/17``; "unmatched" when no route took it."""
    route = scope.get("route")
    return str(getattr(route, "path", UNMATCHED))


def method_of(scope: Scope) -> str:
    """The method; "OTHER" for one that nobody serves."""
    method = str(scope["method"])
    return method if method in _METHODS else "OTHER"
