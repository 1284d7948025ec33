"""Mounts of engines that this server does not run.

What lives here: a backend that answers "unsupported path" and touches nothing, so that a store
with such mounts opens, serves the rest and keeps their entries for the server that wrote them.
"""

from zvault.engine.api import Auth, MountContext, Request, Response
from zvault.engine.errors import InvalidRequestError, NotFoundInEngineError


class Unsupported:
    """Holds the mount's place."""

    unauthenticated_paths = ("login", "login/*")
    root_paths = ()

    def __init__(self, context: MountContext) -> None:
        self._type = context.entry.type

    async def start(self) -> None:
        """Nothing to prepare."""

    async def stop(self) -> None:
        """Nothing to end."""

    async def exists(self, request: Request) -> bool | None:
        """No path has an existence check."""
        return None

    async def handle(self, request: Request) -> Response | None:
        """404 with the reason."""
        raise NotFoundInEngineError(
            f"1 error occurred:\n\t* unsupported path: this server does not run {self._type!r} "
            "mounts; their data is kept as it is\n\n"
        )

    async def renew(self, auth: Auth) -> Auth:
        """A login that nobody here can judge again is not renewed."""
        raise InvalidRequestError(f"this server does not run {self._type!r} auth mounts")


def make(context: MountContext) -> Unsupported:
    """The backend for the mount."""
    return Unsupported(context)
