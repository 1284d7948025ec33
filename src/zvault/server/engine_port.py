"""What the server needs of an engine.

What lives here: the protocol that ``engine.core.Core`` keeps. What never does: HTTP.
"""

from typing import Protocol

from zvault.engine.api import Request, Response
from zvault.engine.status import HealthStatus, InitOutcome, SealStatus
from zvault.server.cors import CorsPort


class MetricsPort(Protocol):
    """What a scrape needs."""

    def render_prometheus(self) -> str: ...

    def render_json(self) -> bytes: ...


class EnginePort(Protocol):
    """The engine. Every method may raise ZvaultError; EngineError carries Vault's own text."""

    @property
    def metrics(self) -> MetricsPort: ...

    @property
    def cors(self) -> CorsPort | None:
        """Which pages of other origins are let in; None while sealed."""
        ...

    async def handle(self, request: Request) -> Response | None:
        """Serve one logical request; never suspends when caches can answer."""
        ...

    async def initialize(self, shares: int, threshold: int) -> InitOutcome: ...

    async def submit_share(self, share: bytes) -> SealStatus: ...

    async def reset_unseal(self) -> SealStatus: ...

    async def seal_status(self) -> SealStatus: ...

    async def health(self) -> HealthStatus: ...

    async def seal(self) -> None:
        """Back to sealed; what has begun is finished first."""
        ...


class ServedEngine(EnginePort, Protocol):
    """An engine with a beginning and an end."""

    async def start(self) -> None:
        """Look at the store; sealed afterwards. Raises ZvaultError (a fenced store, no access)."""
        ...

    async def shutdown(self) -> None:
        """Seal, let go of the store and its lock."""
        ...

    async def tick(self) -> int:
        """Do what is due now (leases that end); called about once a second."""
        ...

    def reload_audit(self) -> None:
        """Open every audit file anew; what fails is logged and keeps its old file."""
        ...
