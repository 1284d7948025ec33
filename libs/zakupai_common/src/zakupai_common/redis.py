"""Redis for a service: a client that gives up quickly, the password out of Vault.

What lives here: the client with its time-outs. What never does: a key or a script.
Invariants: a refused connection and a silent server both end within ``timeout_seconds`` (redis-py's
own defaults take 4 seconds for the first and for ever for the second); a connection that Redis has
closed is opened anew before it is used.
"""

from collections.abc import Callable
from dataclasses import dataclass

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.maint_notifications import MaintNotificationsConfig

from zakupai_common.secret import Secret


@dataclass(frozen=True)
class RedisSettings:
    """``timeout_seconds``: for connecting, for one answer, and for a place in the pool."""

    host: str
    port: int = 6379
    timeout_seconds: float = 0.2
    connections: int = 32


class _Login(CredentialProvider):
    """Asked at every new connection."""

    def __init__(self, password: Callable[[], Secret[str]]) -> None:
        self._password = password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        return (self._password().reveal(),)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


def make_redis(settings: RedisSettings, password: Callable[[], Secret[str]]) -> Redis:
    """A client; ``await client.aclose()`` it. Answers are bytes.

    Failures are ``redis.exceptions.RedisError``.
    """
    pool = BlockingConnectionPool(
        host=settings.host,
        port=settings.port,
        credential_provider=_Login(password),
        socket_timeout=settings.timeout_seconds,
        socket_connect_timeout=settings.timeout_seconds,
        timeout=settings.timeout_seconds,
        max_connections=settings.connections,
        retry=Retry(NoBackoff(), 0),
        # With them on (its default) the pool hands out connections whose end it has seen.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return Redis.from_pool(pool)
