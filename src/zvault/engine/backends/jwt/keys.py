"""The keys that a mount trusts: given, or fetched from the issuer.

What lives here: KeySource. What never does: roles, claims.
Invariants: fetching is off the event loop, on threads of its own (the issuer may be this very
server), one fetch at a time and at most one a second however many logins ask; a key that the issuer
took back is trusted no longer than ``REFRESH_SECONDS`` while the issuer answers, and no longer than
``MAX_AGE_SECONDS`` when it does not.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from zvault.base.clock import Clock
from zvault.base.errors import ZvaultError
from zvault.crypto import jwk, jws
from zvault.crypto.errors import SignatureError, TokenFormError
from zvault.engine.backends.jwt.fetch import FetchError, fetch_json
from zvault.records.jwt_auth import JwtConfig

REFRESH_SECONDS = 600.0
MAX_AGE_SECONDS = 3600.0
MIN_INTERVAL_SECONDS = 1.0
MAX_KEYS = 200
_log = logging.getLogger(__name__)
Jwk = dict[str, Any]


class KeySource:
    """Keys of one configuration; made anew when that changes."""

    def __init__(self, config: JwtConfig, clock: Clock, pool: ThreadPoolExecutor) -> None:
        self.config = config
        self._clock = clock
        self._pool = pool
        self._given = [jwk.pem_public_key(text) for text in config.jwt_validation_pubkeys]
        self._fetched: list[Jwk] = []
        self._tried = -MAX_AGE_SECONDS
        self._fetched_at = -MAX_AGE_SECONDS
        self._fetching: asyncio.Task[None] | None = None

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Those a token may be signed with."""
        return self.config.jwt_supported_algs or jws.ALGORITHMS

    @property
    def issuer(self) -> str:
        """What a token must say it is from; "" when that is not said."""
        return self.config.bound_issuer or self.config.oidc_discovery_url

    async def check(self, token: jws.SignedToken) -> None:
        """Raises SignatureError unless a trusted key signed it, FetchError."""
        if self._given:
            if not any(_fits(token, key) for key in self._given):
                raise SignatureError("no known key successfully validated the token signature")
            return
        now = self._clock.monotonic()
        if now - self._fetched_at < REFRESH_SECONDS and self._known(token):
            return
        try:
            await self.refresh()
        except FetchError as error:
            if self._clock.monotonic() - self._fetched_at >= MAX_AGE_SECONDS:
                raise
            _log.warning("keys could not be fetched anew: %s", error.message)
        if not self._known(token):
            raise SignatureError("failed to verify id token signature")

    def _known(self, token: jws.SignedToken) -> bool:
        for found in self._fetched:
            if token.key_id and found.get("kid") not in (None, "", token.key_id):
                continue
            if found.get("alg", token.algorithm) != token.algorithm:
                continue
            if found.get("use", "sig") != "sig":
                continue
            try:
                if _fits(token, jwk.public_key(found)):
                    return True
            except TokenFormError:
                continue
        return False

    async def refresh(self) -> None:
        """Fetch the keys, or wait for the fetch that is under way. Raises FetchError."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch(), name="jwt-keys")
            self._fetching.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        wait = self._tried + MIN_INTERVAL_SECONDS - self._clock.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        self._tried = self._clock.monotonic()
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._pool, fetch_keys, self.config)
        self._fetched, self._fetched_at = found, self._clock.monotonic()


def _fits(token: jws.SignedToken, key: jwk.PublicKey) -> bool:
    if not jws.is_for(key, token.algorithm):
        return False
    try:
        jws.verify(token, key)
    except SignatureError:
        return False
    return True


def fetch_keys(config: JwtConfig) -> list[Jwk]:
    """The issuer's keys now. Blocks. Raises FetchError."""
    found: list[Jwk] = []
    for url, ca_pem in _places(config):
        keys = fetch_json(url, ca_pem).get("keys")
        if keys is not None and not isinstance(keys, list):
            raise FetchError("the issuer's key set is none")
        found += [key for key in keys or () if isinstance(key, dict)]
    return found[:MAX_KEYS]


def _places(config: JwtConfig) -> list[tuple[str, str]]:
    if config.oidc_discovery_url:
        return [(discovered(config), config.oidc_discovery_ca_pem)]
    if config.jwks_pairs:
        return [(pair["jwks_url"], pair.get("jwks_ca_pem") or "") for pair in config.jwks_pairs]
    return [(config.jwks_url, config.jwks_ca_pem)]


def discovered(config: JwtConfig) -> str:
    """Where the issuer says its keys are. Blocks. Raises FetchError."""
    url = config.oidc_discovery_url
    document = fetch_json(
        url.rstrip("/") + "/.well-known/openid-configuration", config.oidc_discovery_ca_pem
    )
    if document.get("issuer") != url:
        raise FetchError("the issuer calls itself something else")
    place = document.get("jwks_uri")
    if not isinstance(place, str) or not place:
        raise FetchError("the issuer does not say where its keys are")
    return place


async def check_reachable(config: JwtConfig, pool: ThreadPoolExecutor) -> str:
    """What is wrong with a configuration that has keys fetched; "" when they could be."""
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(pool, fetch_keys, config)
    except ZvaultError as error:
        # The client is told no more than Vault tells: what answers there is not its business.
        _log.warning("keys of a new jwt configuration: %s", error.message)
        return "oidc discovery" if config.oidc_discovery_url else "jwks"
    return ""
