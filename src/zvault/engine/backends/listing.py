"""LIST of a plain key tree, the same for every backend that stores under its users' names."""

from collections.abc import Awaitable, Callable

from zvault.engine.api import Response


async def list_keys(children: Callable[[str], Awaitable[list[str]]], path: str) -> Response | None:
    """Immediate children of ``path``; None when there are none (which the API calls 404)."""
    prefix = path if not path or path.endswith("/") else path + "/"
    keys = await children(prefix)
    return Response(data={"keys": keys}) if keys else None
