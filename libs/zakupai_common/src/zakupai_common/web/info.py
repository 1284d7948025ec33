"""What a service tells its operators: version, age, how its Vault half does.

What lives here: ``GET /info``. What never does: a value of a secret, an address.
"""

import datetime
import math
from collections.abc import Sequence

from fastapi import APIRouter
from pydantic import BaseModel, Field

from zakupai_common.web.parts import PartsDependency


class VaultInfo(BaseModel):
    """The store of secrets; ``trouble`` is empty while Vault answers as it should."""

    ready: bool = Field(description="Every required secret can be read")
    fresh: bool = Field(description="The last reading got all of them")
    trouble: str = Field(examples=["", "sealed"])
    token_seconds_left: float | None = Field(description="null: a token without an end")
    oldest_age_seconds: float
    logins: int
    renewals: int
    secrets: list[str] = Field(description="Names of what is declared")


class Info(BaseModel):
    """One running service."""

    service: str
    version: str
    environment: str
    started_at: datetime.datetime
    vault: VaultInfo


def info_router(service: str, version: str, secrets: Sequence[str]) -> APIRouter:
    """The route. It is not open: who asks comes through the gateway."""
    router = APIRouter(tags=["operation"])
    started_at = datetime.datetime.now(datetime.UTC)

    @router.get("/info", operation_id="info")
    async def info(parts: PartsDependency) -> Info:
        """Version, age, and how the service does with Vault."""
        health = parts.secrets.health()
        left = health.token_seconds_left
        return Info(
            service=service,
            version=version,
            environment=parts.settings.environment,
            started_at=started_at,
            vault=VaultInfo(
                ready=health.ready,
                fresh=health.fresh,
                trouble=health.trouble_code,
                token_seconds_left=left if math.isfinite(left) else None,
                oldest_age_seconds=health.oldest_age_seconds,
                logins=health.counts.logins,
                renewals=health.counts.renewals,
                secrets=list(secrets),
            ),
        )

    return router
