"""The routes that the gateway answers itself.

What lives here: from a checked request to a login, and the answer. What never does: a rule.
Invariant: an answer with a token is never cached; every try of a password is charged before it.
"""

import hashlib

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from zakupai_common.web.errors import ProblemError, problem_responses
from zakupai_common.web.parts import PartsDependency
from zakupai_gateway.caller import Caller
from zakupai_gateway.credential import Kind, credential_of, unauthorized
from zakupai_gateway.credentials import plain_email
from zakupai_gateway.gateway import Gateway
from zakupai_gateway.logins import Pair
from zakupai_gateway.models import (
    Invitation,
    InvitationRequest,
    LoginRequest,
    PasswordRequest,
    RefreshRequest,
    TokenPair,
    VaultHealth,
)

INVITE = "billing:admin"
"""The scope that may invite."""
_JWKS_SECONDS = 300
router = APIRouter()
_LIMITED = problem_responses(401, 403, 429, 503)


@router.post("/auth/login", operation_id="login", tags=["auth"], responses=_LIMITED)
async def login(
    asked: LoginRequest, request: Request, response: Response, parts: PartsDependency
) -> TokenPair:
    """An address and a password for an access token and a refresh token."""
    gateway, email = parts.own(Gateway), plain_email(asked.email)
    await gateway.charge_login(request.scope, _account(email))
    return _told(response, await gateway.logins.log_in(email, asked.password))


@router.post("/auth/refresh", operation_id="refresh", tags=["auth"], responses=_LIMITED)
async def refresh(
    asked: RefreshRequest, request: Request, response: Response, parts: PartsDependency
) -> TokenPair:
    """The next two tokens. The one shown is used up; shown again, it ends its session."""
    gateway = parts.own(Gateway)
    await gateway.charge_refresh(request.scope)
    return _told(response, await gateway.logins.refresh(asked.refresh_token))


@router.post(
    "/auth/logout", operation_id="logout", tags=["auth"], status_code=204, responses=_LIMITED
)
async def logout(asked: RefreshRequest, request: Request, parts: PartsDependency) -> None:
    """End the session. Its access token works on until it ends by itself, ten minutes at most."""
    gateway = parts.own(Gateway)
    await gateway.charge_refresh(request.scope)
    await gateway.logins.log_out(asked.refresh_token)


@router.post(
    "/auth/invitations", operation_id="invite", tags=["auth"], status_code=201, responses=_LIMITED
)
async def invite(
    asked: InvitationRequest, request: Request, response: Response, parts: PartsDependency
) -> Invitation:
    """Let a user choose a password, also instead of a forgotten one; for administrators."""
    gateway = parts.own(Gateway)
    await gateway.charge_refresh(request.scope)
    if INVITE not in _caller(gateway, request).scopes:
        raise ProblemError(403, "scope-missing", f"this needs the scope {INVITE}")
    token, expires_at = await gateway.logins.invite(asked.tg_id, plain_email(asked.email))
    response.headers["Cache-Control"] = "no-store"
    return Invitation(invitation=token.reveal(), expires_at=expires_at)


@router.post(
    "/auth/password",
    operation_id="choosePassword",
    tags=["auth"],
    status_code=204,
    responses={**_LIMITED, **problem_responses(409)},
)
async def choose_password(asked: PasswordRequest, request: Request, parts: PartsDependency) -> None:
    """Use an invitation: from now on this is the password, and every session has ended."""
    gateway = parts.own(Gateway)
    shown = _account(asked.invitation.reveal())
    await gateway.charge_login(request.scope, shown)
    await gateway.logins.choose_password(asked.invitation, asked.password)


@router.get("/.well-known/jwks.json", operation_id="jwks", tags=["operation"])
async def jwks(parts: PartsDependency) -> Response:
    """The public halves of the keys that sign access tokens (RFC 7517)."""
    cached = {"Cache-Control": f"public, max-age={_JWKS_SECONDS}"}
    return JSONResponse(parts.own(Gateway).keys().jwks(), headers=cached)


@router.get(
    "/vault/health",
    operation_id="vaultHealth",
    tags=["operation"],
    responses={503: {"model": VaultHealth, "description": "Secrets are too old to be used"}},
)
async def vault_health(response: Response, parts: PartsDependency) -> VaultHealth:
    """How the gateway's secrets are. "stale": Vault does not answer, memory still serves."""
    health = parts.secrets.health()
    status = "ok" if health.fresh else "stale" if health.ready else "unavailable"
    response.status_code = 200 if health.ready else 503
    left = health.token_seconds_left
    return VaultHealth(
        status=status,
        secrets_age_seconds=round(health.oldest_age_seconds, 3),
        token_seconds_left=None if left == float("inf") else round(left, 3),
        trouble=health.trouble_code,
    )


def _caller(gateway: Gateway, request: Request) -> Caller:
    credential = credential_of(request.scope["headers"])
    if credential.kind is not Kind.TOKEN:
        raise unauthorized("login-needed", "log in first")
    return gateway.authenticator.of_token(credential.text)


def _account(name: str) -> str:
    """What an account is called in Redis: nobody reads addresses there."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _told(response: Response, pair: Pair) -> TokenPair:
    response.headers["Cache-Control"] = "no-store"
    return TokenPair(
        access_token=pair.access_token.reveal(),
        expires_in=pair.access_seconds,
        refresh_token=pair.refresh_token.reveal(),
        refresh_expires_at=pair.refresh_until,
    )
