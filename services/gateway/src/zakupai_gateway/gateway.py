"""The gateway put together: what lives as long as the app.

What lives here: the parts and how they are wired. What never does: a decision.
"""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp, Scope

from zakupai_common.vault.declared import Declared
from zakupai_common.web.background import background
from zakupai_common.web.body_limit import BodyLimit
from zakupai_common.web.errors import ProblemError
from zakupai_common.web.parts import Parts
from zakupai_common.web.settings import SettingsError
from zakupai_gateway import table as tables
from zakupai_gateway.api_keys import ApiKeys, settle_for_ever
from zakupai_gateway.authenticate import Authenticator
from zakupai_gateway.billing import Billing
from zakupai_gateway.charging import charge
from zakupai_gateway.client_address import Network, networks
from zakupai_gateway.gate import Gate, address_of
from zakupai_gateway.limits.gcra import Charge, Decision
from zakupai_gateway.limits.limiter import Limiter
from zakupai_gateway.limits.redis_limits import RedisLimits
from zakupai_gateway.logins import Logins
from zakupai_gateway.metrics import GatewayMetrics
from zakupai_gateway.passage import Passage
from zakupai_gateway.passwords import Passwords
from zakupai_gateway.tokens.access import AccessTokens, Issuance
from zakupai_gateway.tokens.source import KeySource

ACCESS_SECONDS = 600
"""An access token's life: what a block or a log-out may take to count everywhere."""
AUDIENCE = "zakupai"
TABLE, TRUSTED = "ZAKUPAI_GATEWAY_TABLE", "ZAKUPAI_GATEWAY_TRUSTED_PROXIES"
OPERATORS, ISSUER = "ZAKUPAI_GATEWAY_OPERATORS", "ZAKUPAI_GATEWAY_ISSUER"
OPTIONS = (TABLE, TRUSTED, OPERATORS, ISSUER)
_PRIVATE = "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"

SIGNING_KEYS = Declared("signing keys", "services/gateway/jwt", "keys", list)
IDENTITY_KEYS = {
    name: Declared(f"identity key of {name}", f"services/{name}/identity", "key")
    for name in tables.service_names(tables.load())
}


@dataclass(frozen=True)
class Gateway:
    """What routes and the front use."""

    table: tables.Table
    gate: Gate
    limiter: Limiter
    authenticator: Authenticator
    logins: Logins
    keys: KeySource
    trusted: tuple[Network, ...]
    operators: tuple[Network, ...]

    def address(self, scope: Scope) -> str:
        """Where a request comes from, as far as it can be believed."""
        return address_of(scope, self.trusted)

    async def charge_login(self, scope: Scope, account: str) -> Decision | None:
        """A try of a password. Raises ProblemError 429 and 503."""
        limits, address = self.table.login, self.address(scope)
        charges = [
            Charge("ip", f"login:ip:{address}", limits.ip),
            Charge("account", f"login:account:{account}", limits.account),
            Charge("account", f"login:both:{account}:{address}", limits.account_and_ip),
        ]
        return await charge(self.limiter, charges, limits.redis_away)

    async def charge_refresh(self, scope: Scope) -> Decision | None:
        """A refresh token or an invitation is shown. Raises ProblemError 429 and 503."""
        limits = self.table.refresh
        charges = [Charge("ip", f"refresh:ip:{self.address(scope)}", limits.ip)]
        return await charge(self.limiter, charges, limits.redis_away)


def read_table(parts: Parts) -> tables.Table:
    """The table that the settings name. Raises SettingsError."""
    settings = parts.settings
    try:
        file = settings.options.get(TABLE)
        content = tables.load(Path(file) if file else None)
        names = tables.service_names(content)
        addresses = {
            name: settings.urls[name.replace("-", "_")]
            for name in names
            if name.replace("-", "_") in settings.urls
        }
        unknown = set(names) - set(IDENTITY_KEYS)
        if unknown:
            raise tables.TableError(f"no identity key is declared for {', '.join(sorted(unknown))}")
        return tables.read(content, addresses)
    except tables.TableError as error:
        raise SettingsError(str(error)) from None


def _networks(parts: Parts, option: str, default: str = "") -> tuple[Network, ...]:
    try:
        return networks(parts.settings.options.get(option, default))
    except ValueError as error:
        raise SettingsError(f"{option}: {error}") from None


@asynccontextmanager
async def gateway(parts: Parts) -> AsyncIterator[None]:
    """Put everything together; ``parts.own(Gateway)`` until the end. Raises SettingsError."""
    table, store = read_table(parts), parts.secrets
    if "billing" not in table.upstreams:
        raise SettingsError("ZAKUPAI_BILLING_URL is not set: logins and API keys need billing")
    metrics = GatewayMetrics(parts.registry)
    limiter = Limiter(
        RedisLimits(parts.redis, parts.settings.redis_timeout_seconds), seen=metrics.counted
    )
    source = KeySource(lambda: store[SIGNING_KEYS])
    issuer = parts.settings.options.get(ISSUER, "zakupai-gateway")
    tokens = AccessTokens(
        Issuance(issuer, AUDIENCE, ACCESS_SECONDS), source, lambda: parts.clock().timestamp()
    )

    def identity_key(service: str) -> bytes:
        return store[IDENTITY_KEYS[service]].reveal().encode()

    async with AsyncExitStack() as stack:
        services: dict[str, ASGIApp] = {}
        for name, upstream in table.upstreams.items():
            passage = Passage(upstream, failed=metrics.failed)
            stack.push_async_callback(passage.close)
            metrics.watch(name, passage.breaker)
            services[name] = BodyLimit(passage, upstream.body_limit_bytes)
        billing = Billing(table.upstreams["billing"].address, lambda: identity_key("billing"))
        stack.push_async_callback(billing.close)
        passwords = Passwords()
        stack.callback(passwords.close)
        keys = ApiKeys(billing)
        await stack.enter_async_context(_settling(keys))
        trusted = _networks(parts, TRUSTED)
        authenticator = Authenticator(tokens, keys, limiter, table.lookup, metrics.refused)
        logins = Logins(parts.database, billing, passwords, tokens, lambda: parts.clock())
        gate = Gate(table, services, authenticator, limiter, identity_key, trusted)
        operators = _networks(parts, OPERATORS, _PRIVATE)
        parts.put(Gateway(table, gate, limiter, authenticator, logins, source, trusted, operators))
        yield


@asynccontextmanager
async def _settling(keys: ApiKeys) -> AsyncIterator[None]:
    try:
        async with background(settle_for_ever(keys), "settling"):
            yield
    finally:
        with contextlib.suppress(ProblemError):  # billing away: the last few are not counted
            await keys.settle(everything=True)
