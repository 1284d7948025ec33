"""From what a request shows to who sends it.

What lives here: the choice between token and key, and the answers to what is not believed. What
never does: how a token is verified or a key is counted.
Invariant: an answer says that a credential is not believed, and why only where it helps its owner.
"""

from collections.abc import Callable

from zakupai_common.web.errors import ProblemError
from zakupai_gateway.api_keys import ApiKeys, KeyRefusedError
from zakupai_gateway.caller import Caller
from zakupai_gateway.charging import charge
from zakupai_gateway.credential import Credential, Kind, unauthorized
from zakupai_gateway.limits.gcra import Charge, Limit
from zakupai_gateway.limits.limiter import Away, Limiter
from zakupai_gateway.tokens.access import AccessTokens, TokenRefusedError


class Authenticator:
    """``lookups``: how often an address may show keys that are not in memory."""

    def __init__(
        self,
        tokens: AccessTokens,
        keys: ApiKeys,
        limiter: Limiter,
        lookups: Limit,
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._tokens = tokens
        self._keys = keys
        self._limiter = limiter
        self._lookups = lookups
        self._refused = refused

    async def __call__(self, credential: Credential, address: str, service: str) -> Caller:
        """Who it is. Raises ProblemError 401, 403, 429 or 503."""
        if credential.kind is Kind.TOKEN:
            return self.of_token(credential.text)
        known = self._keys.known(credential.text, service)
        if known is not None:
            return known
        lookup = Charge("lookup", f"lookup:{address}", self._lookups)
        await charge(self._limiter, [lookup], Away.LOCAL)
        try:
            return await self._keys.check(credential.text, service)
        except KeyRefusedError as error:
            self._refused(f"key-{error.reason}")
            raise _key_refused(error) from None

    def of_token(self, token: str) -> Caller:
        """Who an access token names. Raises ProblemError 401."""
        try:
            claims = self._tokens.verify(token)
        except TokenRefusedError as error:
            self._refused(f"token-{error.reason}")
            if error.reason == "expired":
                raise unauthorized(
                    "token-expired", "the access token has ended; refresh it", "invalid_token"
                ) from None
            raise unauthorized(
                "token-invalid", "this is no access token of ours", "invalid_token"
            ) from None
        return Caller(claims.user, claims.plan, claims.scopes)


def _key_refused(error: KeyRefusedError) -> ProblemError:
    if error.reason == "limit":
        retry = {"Retry-After": str(max(1, error.retry_after_seconds))}
        return ProblemError(
            429, "plan-limit", "the plan's requests are used up", headers=retry, limit="plan"
        )
    if error.reason == "blocked":
        return ProblemError(403, "user-blocked", "this user is blocked")
    if error.reason in ("revoked", "expired"):
        return unauthorized(f"key-{error.reason}", f"this API key is {error.reason}")
    return unauthorized("key-invalid", "this is no API key of ours")
