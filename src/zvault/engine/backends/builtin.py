"""What sys, token and identity have in common: a path table from several parts, no state to stop.

What lives here: the base of the three backends that work on the engine's own parts.
"""

from collections.abc import Sequence

from zvault.engine.api import Auth, Request, Response
from zvault.engine.backends.framework import Route, Router
from zvault.engine.errors import UnsupportedOperationError


class BuiltinBackend:
    """A backend that is nothing but routes."""

    unauthenticated_paths: Sequence[str] = ()
    root_paths: Sequence[str] = ()

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._router = Router(routes)

    async def start(self) -> None:
        """Nothing to prepare."""

    async def stop(self) -> None:
        """Nothing to end."""

    async def exists(self, request: Request) -> bool | None:
        """Existence check of the route, where it has one."""
        return await self._router.exists(request)

    async def handle(self, request: Request) -> Response | None:
        """Dispatch."""
        return await self._router.handle(request)

    async def renew(self, auth: Auth) -> Auth:
        """Only the token backend renews."""
        raise UnsupportedOperationError("1 error occurred:\n\t* unsupported operation\n\n")
