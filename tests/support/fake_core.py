"""An engine that keeps the server's port and nothing else: what the HTTP tests look at.

What lives here: canned behaviour by path, a record of what arrived. ``wait/…`` suspends until the
test lets it go, so that slow requests can be had without sleeping.
"""

import asyncio
from dataclasses import dataclass, field

from zvault.base.secret import Secret
from zvault.engine.api import Operation, Request, Response
from zvault.engine.errors import EngineSealedError, InvalidRequestError, PermissionDeniedError
from zvault.engine.status import HealthStatus, InitOutcome, SealStatus
from zvault.server.cors import CorsPort


class FakeMetrics:
    def render_prometheus(self) -> str:
        return "vault_core_unsealed 1\n"

    def render_json(self) -> bytes:
        return b'{"Gauges":[]}'


@dataclass
class FakeCore:
    """``seen`` holds every request in the order of arrival."""

    sealed: bool = False
    initialized: bool = True
    progress: int = 0
    seen: list[Request] = field(default_factory=list)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    finished: list[str] = field(default_factory=list)
    metrics: FakeMetrics = field(default_factory=FakeMetrics)
    cors: CorsPort | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a request waits."""
    life: list[str] = field(default_factory=list)
    """start, reload, shutdown in the order they were asked for."""

    def gate(self, path: str) -> asyncio.Event:
        return self.gates.setdefault(path, asyncio.Event())

    async def handle(self, request: Request) -> Response | None:
        if self.sealed:
            raise EngineSealedError("Vault is sealed")
        self.seen.append(request)
        path = request.path
        if path.startswith("wait/"):
            self.arrived.set()
            await self.gate(path).wait()
        elif path == "denied":
            raise PermissionDeniedError("permission denied")
        elif path == "crash":
            raise KeyError("a-secret-value")
        elif path == "nothing":
            return None
        self.finished.append(path)
        if request.operation is Operation.LIST:
            return Response(data={"keys": ["a", "b/"]})
        if path == "big":
            return Response(data={"value": "x" * 300_000})
        return Response(data={"path": path, "op": str(request.operation), "data": request.data})

    async def initialize(self, shares: int, threshold: int) -> InitOutcome:
        if self.initialized:
            raise InvalidRequestError("Vault is already initialized")
        self.initialized = True
        return InitOutcome([Secret(bytes([n]) * 33) for n in range(shares)], Secret("hvs.root"))

    def _status(self) -> SealStatus:
        return SealStatus(
            initialized=self.initialized,
            sealed=self.sealed,
            threshold=3,
            shares=5,
            progress=self.progress,
            nonce="",
            version="1.16.3",
            storage_type="inmem",
        )

    async def submit_share(self, share: bytes) -> SealStatus:
        self.progress += 1
        self.sealed = self.progress < 3
        return self._status()

    async def reset_unseal(self) -> SealStatus:
        self.progress = 0
        return self._status()

    async def seal_status(self) -> SealStatus:
        return self._status()

    async def health(self) -> HealthStatus:
        return HealthStatus(self.initialized, self.sealed, "1.16.3", 1_800_000_000)

    async def seal(self) -> None:
        self.sealed = True

    async def start(self) -> None:
        self.life.append("start")

    async def shutdown(self) -> None:
        self.life.append("shutdown")

    async def tick(self) -> int:
        return 0

    def reload_audit(self) -> None:
        self.life.append("reload")
