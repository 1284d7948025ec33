"""Access tokens: short-lived JWTs that say who somebody is.

What lives here: signing one, and believing one. What never does: sessions, HTTP.
Invariants: one algorithm, ours, whatever a token's header says; a token without ``exp``, ``aud``,
``iss``, ``sub``, ``jti`` or ``sid`` is none; what was believed once is believed from memory until
it ends or the keys change, and never longer.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt

from zakupai_gateway.tokens.keyring import ALGORITHM, KeyRing

TYPE = "at+jwt"
"""RFC 9068, so that no other JWT of ours can pass for an access token."""
_REQUIRED = ["exp", "aud", "iss", "sub", "jti", "iat", "sid"]
_LONGEST = 4096


class TokenRefusedError(Exception):
    """The token is not believed; ``reason`` is one of a few fixed words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Claims:
    """``expires_at``: seconds since 1970. ``session``: the login it came of."""

    user: str
    plan: str
    scopes: tuple[str, ...]
    session: str
    token_id: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Issuance:
    """What every token of ours says about itself."""

    issuer: str
    audience: str
    seconds: int
    """The life of a token."""


class AccessTokens:
    """``ring`` gives the keys that count now; it is asked for every token."""

    def __init__(
        self,
        issuance: Issuance,
        ring: Callable[[], KeyRing],
        clock: Callable[[], float] = time.time,
        remembered: int = 10_000,
    ) -> None:
        self.issuance = issuance
        self._ring = ring
        self._clock = clock
        self._most = remembered
        self._believed: dict[str, Claims] = {}
        self._believed_by: KeyRing | None = None

    def issue(self, user: str, plan: str, scopes: tuple[str, ...], session: str) -> str:
        """A signed token. Raises KeyRingError."""
        now = self._clock()
        key = self._ring().signing(now)
        content = {
            "iss": self.issuance.issuer,
            "aud": self.issuance.audience,
            "sub": user,
            "iat": int(now),
            "exp": int(now) + self.issuance.seconds,
            "jti": uuid.uuid4().hex,
            "sid": session,
            "plan": plan,
            "scope": " ".join(sorted(scopes)),
        }
        return jwt.encode(content, key.private, ALGORITHM, {"kid": key.kid, "typ": TYPE})

    def verify(self, token: str) -> Claims:
        """Who it says. Raises TokenRefusedError."""
        ring = self._ring()
        if ring is not self._believed_by:
            self._believed, self._believed_by = {}, ring
        claims = self._believed.get(token)
        if claims is None:
            claims = self._read(token, ring)
            if len(self._believed) >= self._most:
                del self._believed[next(iter(self._believed))]
            self._believed[token] = claims
        if claims.expires_at <= self._clock():
            self._believed.pop(token, None)
            raise TokenRefusedError("expired")
        return claims

    def _read(self, token: str, ring: KeyRing) -> Claims:
        if len(token) > _LONGEST:
            raise TokenRefusedError("malformed")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise TokenRefusedError("malformed") from None
        if header.get("alg") != ALGORITHM or header.get("typ") != TYPE:
            raise TokenRefusedError("not-ours")
        key = ring.find(header.get("kid"))
        if key is None:
            raise TokenRefusedError("unknown-key")
        try:
            content = jwt.decode(
                token,
                key.public,
                algorithms=[ALGORITHM],
                audience=self.issuance.audience,
                issuer=self.issuance.issuer,
                # exp: ``verify`` judges it by our clock, also for what is remembered. iat: another
                # gateway's clock may be a moment ahead of ours.
                options={"require": _REQUIRED, "verify_iat": False, "verify_exp": False},
            )
        except jwt.InvalidTokenError as error:
            raise TokenRefusedError(_REASONS.get(type(error), "not-ours")) from None
        return _claims(content)


_REASONS: dict[type[Exception], str] = {
    jwt.InvalidSignatureError: "bad-signature",
    jwt.MissingRequiredClaimError: "claim-missing",
    jwt.InvalidAudienceError: "wrong-audience",
    jwt.InvalidIssuerError: "wrong-issuer",
}


def _claims(content: dict[str, Any]) -> Claims:
    texts = [content.get(name) for name in ("sub", "plan", "scope", "sid", "jti")]
    ends = content["exp"]
    if not all(isinstance(text, str) for text in texts) or not isinstance(ends, int):
        raise TokenRefusedError("malformed")
    user, plan, scope, session, token_id = map(str, texts)
    return Claims(user, plan, tuple(scope.split()), session, token_id, ends)
