"""What billing takes and gives, as JSON.

What lives here: requests and answers with their limits and examples. What never does: a decision.
Invariant: a key's text is in one answer only, the one that made it.
"""

import datetime
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from zakupai_billing.keys import GoodKey

_TG_ID = {"ge": 1, "le": 2**52 - 1, "description": "Telegram's id of the user"}
TgId = Annotated[int, Field(**_TG_ID)]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,189}$")]
KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z]{12}$")]
Endpoint = Annotated[str, StringConstraints(pattern=r"^/[\x21-\x7e]{0,199}$")]
KeyText = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,100}$")]
PaidPlan = Literal["premium"]
Reason = Literal["unknown", "blocked", "revoked", "expired", "limit"]
_KEY_ID = "4fT9aZ0bQx7L"
_KEY_TEXT = f"zk_{_KEY_ID}_" + "…"


def _example(**members: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [members]})


class CreateKeyRequest(BaseModel):
    """``POST /billing/create_key``. An administrator's call makes the user when there is none."""

    model_config = _example(tg_id=100200300, email="someone@example.kz", expires_in_days=365)
    tg_id: TgId
    email: Email | None = None
    expires_in_days: Annotated[int, Field(ge=1, le=3650)] | None = None


class CreatedKey(BaseModel):
    """The key's text is shown now and never again."""

    api_key: str = Field(examples=[_KEY_TEXT])
    key_id: str = Field(examples=[_KEY_ID])
    user_id: uuid.UUID
    plan: str
    expires_at: datetime.datetime | None


class RotateKeyRequest(BaseModel):
    """``POST /billing/rotate_key``. The old key works on for ``overlap_seconds``."""

    model_config = _example(tg_id=100200300, key_id=_KEY_ID, overlap_seconds=86400)
    tg_id: TgId
    key_id: KeyId
    overlap_seconds: Annotated[int, Field(ge=0, le=7 * 86400)] = 86400


class RotatedKey(CreatedKey):
    """The new key, and until when the old one works."""

    old_key_id: str
    old_key_ends_at: datetime.datetime


class RevokeKeyRequest(BaseModel):
    """``POST /billing/revoke_key``."""

    model_config = _example(tg_id=100200300, key_id=_KEY_ID)
    tg_id: TgId
    key_id: KeyId


class ValidateKeyRequest(BaseModel):
    """``POST /billing/validate_key``: check, and count when it may pass."""

    model_config = _example(api_key=_KEY_TEXT, endpoint="/api/calc/vat", requests=1)
    api_key: KeyText
    endpoint: Endpoint
    requests: Annotated[int, Field(ge=1, le=10_000)] = 1


class KeyCheck(BaseModel):
    """``valid`` false has a ``reason``; ``remaining`` is what is left in the tighter window."""

    valid: bool
    message: str
    reason: Reason | None = None
    plan: str | None = None
    remaining: int | None = None
    retry_after_seconds: int | None = None
    user_id: uuid.UUID | None = None
    key_id: str | None = None
    features: list[str] = []

    @classmethod
    def good(cls, key: GoodKey, remaining: int) -> "KeyCheck":
        """The answer for a key that may be used."""
        return cls(
            valid=True,
            message="counted",
            plan=key.plan.name,
            remaining=remaining,
            user_id=key.user_id,
            key_id=key.key_id,
            features=list(key.plan.features),
        )


class PlanInfo(BaseModel):
    """Limits count in hours and days, UTC, per user."""

    name: str
    requests_per_day: int
    requests_per_hour: int
    price: Decimal
    currency: str
    paid_for_days: int
    features: list[str]


class KeyInfo(BaseModel):
    """A key without its secret."""

    key_id: str
    status: Literal["active", "revoked"]
    created_at: datetime.datetime
    expires_at: datetime.datetime | None
    last_used_at: datetime.datetime | None
    replaced_by: str | None


class EndpointUsage(BaseModel):
    """Requests of the last 30 days."""

    endpoint: str
    requests: int


class Stats(BaseModel):
    """``GET /billing/stats/{tg_id}``."""

    user_id: uuid.UUID
    plan: str
    plan_until: datetime.datetime | None
    status: Literal["active", "blocked"]
    used_today: int
    used_this_hour: int
    requests_per_day: int
    requests_per_hour: int
    endpoints: list[EndpointUsage]
    keys: list[KeyInfo]


class PaymentRequest(BaseModel):
    """``POST /billing/payments``. The price is the plan's."""

    model_config = _example(
        tg_id=100200300, plan="premium", method="kaspi", external_id="kaspi-2026-0001"
    )
    tg_id: TgId
    plan: PaidPlan
    method: Word
    external_id: Word


class ConfirmRequest(BaseModel):
    """``POST /billing/payments/{id}/confirm``: what arrived."""

    model_config = _example(amount="10000.00", currency="KZT")
    amount: Annotated[Decimal, Field(gt=0, max_digits=15, decimal_places=2)]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class Payment(BaseModel):
    """One payment."""

    payment_id: uuid.UUID
    user_id: uuid.UUID
    plan: str
    amount: Decimal
    currency: str
    method: str
    status: Literal["pending", "paid", "failed"]
    external_id: str
    created_at: datetime.datetime
    settled_at: datetime.datetime | None


class StatusRequest(BaseModel):
    """``POST /billing/users/{tg_id}/status``."""

    model_config = _example(status="blocked")
    status: Literal["active", "blocked"]


class MakeUserRequest(BaseModel):
    """``PUT /billing/users/{tg_id}``."""

    model_config = _example(email="someone@example.kz")
    email: Email | None = None


class Account(BaseModel):
    """How a user stands now."""

    user_id: uuid.UUID
    tg_id: int
    plan: str
    status: Literal["active", "blocked"]
