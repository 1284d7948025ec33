"""What the gateway's own routes take and give.

What lives here: the shapes, with examples for OpenAPI. What never does: a decision.
"""

import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, EmailStr, Field, StringConstraints

from zakupai_common.secret import Secret
from zakupai_gateway.passwords import LONGEST, SHORTEST

_GIVEN = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]
_CHOSEN = Annotated[str, StringConstraints(min_length=SHORTEST, max_length=LONGEST)]
_TOKEN = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Email = Annotated[EmailStr, Field(max_length=254)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


def _example(content: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [content]})


class LoginRequest(_Asked):
    """An address and its password."""

    model_config = _example(
        {"email": "buyer@example.kz", "password": "correct horse battery staple"}
    )
    email: Email
    password: Secret[_GIVEN]


class RefreshRequest(_Asked):
    """The refresh token of a session."""

    model_config = _example({"refresh_token": "zr_Yl6v0gB4gk5iC9cU8dLQ0qfHq3wE2b1xT7mNoPqRsTu"})
    refresh_token: Secret[_TOKEN]


class InvitationRequest(_Asked):
    """Who shall choose a password."""

    model_config = _example({"tg_id": 4711, "email": "buyer@example.kz"})
    tg_id: Annotated[int, Field(ge=1, le=2**52 - 1)]
    email: Email


class PasswordRequest(_Asked):
    """An invitation and the password that was chosen."""

    model_config = _example(
        {
            "invitation": "zi_Yl6v0gB4gk5iC9cU8dLQ0qfHq3wE2b1xT7mNoPqRsTu",
            "password": "correct horse battery staple",
        }
    )
    invitation: Secret[_TOKEN]
    password: Secret[_CHOSEN]


class TokenPair(BaseModel):
    """What a client keeps. The refresh token works once; its answer brings the next."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105
    expires_in: int = Field(description="Seconds until the access token ends")
    refresh_token: str
    refresh_expires_at: datetime.datetime


class Invitation(BaseModel):
    """For the invited, once."""

    invitation: str
    expires_at: datetime.datetime


class VaultHealth(BaseModel):
    """How the gateway's secrets are, without any of them."""

    status: str = Field(examples=["ok", "stale", "unavailable"])
    secrets_age_seconds: float
    token_seconds_left: float | None
    trouble: str = Field(description="A fixed word; empty when Vault answers")
