"""One look-up for one connection, checked between the two.

What lives here: the resolver that the HTTP client gets. What never does: a connection.
Invariant: the client connects to addresses that were checked here and to no others: it looks up
nothing itself, so a name server that answers differently the second time is never asked twice.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

from aiohttp.abc import AbstractResolver, ResolveResult

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressError(Exception):
    """The host has an address that is not public."""


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedResolver(AbstractResolver):
    """``permit`` says which addresses may be connected to."""

    def __init__(self, lookup: Lookup, permit: Callable[[str], bool]) -> None:
        self._lookup = lookup
        self._permit = permit

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses, if all of them may be connected to. Raises AddressError, OSError."""
        addresses = await self._lookup(host, port)
        if not all(map(self._permit, addresses)):
            raise AddressError(host)
        if not addresses:
            raise OSError("the host has no address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""
