"""A backend that makes secrets with a lease, as bare as can be, for tests of leases."""

from collections.abc import Mapping
from typing import Any

from tests.support.running import Running
from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Auth, Request, Response, SecretGrant
from zvault.engine.errors import InternalEngineError


class Leasing:
    """``creds`` makes a secret; ``alive`` are the numbers of those not taken back."""

    unauthenticated_paths = ()
    root_paths = ()

    def __init__(self) -> None:
        self.alive: set[int] = set()
        self.broken = False
        self.renewable = True
        self.ttl_seconds = 60
        self.asked: list[int] = []
        self._number = 0

    async def start(self) -> None:
        """Nothing to prepare."""

    async def stop(self) -> None:
        """Nothing to end."""

    async def exists(self, request: Request) -> bool | None:
        """No path has an existence check."""
        return None

    async def handle(self, request: Request) -> Response | None:
        """A new secret."""
        self._number += 1
        self.alive.add(self._number)
        grant = SecretGrant(
            self.ttl_seconds * SECOND_NS,
            max_ttl_ns=600 * SECOND_NS,
            renewable=self.renewable,
            internal_data={"number": self._number},
        )
        return Response(data={"password": f"secret-{self._number}"}, secret=grant)

    async def renew(self, auth: Auth) -> Auth:
        """No logins here."""
        raise InternalEngineError("no logins")

    async def renew_secret(self, grant: SecretGrant, increment_ns: int) -> SecretGrant:
        """As it was granted."""
        return grant

    async def revoke_secret(self, internal_data: Mapping[str, Any]) -> None:
        """Take it back, unless told to fail."""
        self.asked.append(internal_data["number"])
        if self.broken:
            raise InternalEngineError("the database is away")
        self.alive.discard(internal_data["number"])


async def mount_leasing(server: Running, path: str = "db/") -> Leasing:
    """The backend at ``path``, in place of a KV engine."""
    await server.write(f"sys/mounts/{path.rstrip('/')}", type="kv")
    mounted = server.open.mounts.router.get(path)
    assert mounted is not None
    backend = Leasing()
    mounted.backend = backend
    return backend
