"""Which web pages of other origins may talk to this server.

What lives here: the configuration, stored and in use, and the judgement of an ``Origin``. What
never does: HTTP (``server/cors.py`` asks). Invariant: storage first, then memory; without a
configuration no ``Origin`` is looked at, as in Vault.
"""

from zvault.barrier.barrier import Barrier
from zvault.engine.errors import InternalEngineError
from zvault.records.system_config import CORS_KEY, CorsConfig, decode_cors, encode_cors
from zvault.storage.api import Put

STANDARD_HEADERS = (
    "Content-Type",
    "X-Requested-With",
    "X-Vault-AWS-IAM-Server-ID",
    "X-Vault-MFA",
    "X-Vault-No-Request-Forwarding",
    "X-Vault-Wrap-Format",
    "X-Vault-Wrap-TTL",
    "X-Vault-Policy-Override",
    "Authorization",
    "X-Vault-Token",
)
"""Always allowed when cross-origin requests are."""


class Cors:
    """The configuration of one unsealed store."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier
        self.config = CorsConfig()

    async def load(self) -> None:
        """Read it. Raises RecordError, StorageError."""
        stored = await self._barrier.get(CORS_KEY)
        self.config = decode_cors(stored) if stored is not None else CorsConfig()

    async def enable(self, origins: list[str], headers: list[str]) -> None:
        """Let these origins in. Raises InternalEngineError, StorageError."""
        if not origins:
            raise _failed("at least one origin or the wildcard must be provided")
        if "*" in origins and len(origins) > 1:
            raise _failed("to allow all origins the '*' must be the only value for allowed_origins")
        named = [header for header in headers if header not in STANDARD_HEADERS]
        await self._save(CorsConfig(True, tuple(origins), (*STANDARD_HEADERS, *named)))

    async def disable(self) -> None:
        """Let no other origin in; nobody's ``Origin`` is looked at any more."""
        await self._save(CorsConfig())

    async def _save(self, config: CorsConfig) -> None:
        await self._barrier.apply([Put(CORS_KEY, encode_cors(config))])
        self.config = config

    def admits(self, origin: str) -> bool:
        """Whether a page of that origin is let in."""
        allowed = self.config.allowed_origins
        return allowed == ("*",) or origin in allowed


def _failed(text: str) -> InternalEngineError:
    return InternalEngineError(f"1 error occurred:\n\t* {text}\n\n")
