"""The services, by their own declarations, and how a first value of each secret is made.

What lives here: the list, and the makers for secrets that are more than random text. What never
does: a secret.
"""

import secrets
from collections.abc import Callable, Sequence

from zakupai_billing.service import SERVICE as BILLING
from zakupai_calc.service import SERVICE as CALC
from zakupai_common.web.service import Service
from zakupai_etl.engine import FOLDER_OPTION
from zakupai_etl.service import SERVICE as ETL
from zakupai_gateway.service import SERVICE as GATEWAY
from zakupai_gateway.tokens.rotation import first_signing_keys
from zakupai_risk_engine.engine import BOT_TOKEN, GOSZAKUP_TOKEN
from zakupai_risk_engine.service import SERVICE as RISK_ENGINE

SERVICES: tuple[Service, ...] = (BILLING, CALC, ETL, RISK_ENGINE, GATEWAY)

MAKERS: dict[tuple[str, str], Callable[[], object]] = {
    ("services/gateway/jwt", "keys"): first_signing_keys,
}
"""By Vault path and key. Everything else that is required becomes random text."""

OUTSIDE_SECRETS = {
    "token": (GOSZAKUP_TOKEN.path, "token"),
    "bot-token": (BOT_TOKEN.path, "bot_token"),
}
"""What ``launcher.outside`` is told in files, by its options: path and key in Vault."""


FOLDER_OPTIONS = (FOLDER_OPTION,)
"""Settings of services that name a folder for files; the service makes it."""


def first_values(services: Sequence[Service]) -> dict[str, dict[str, object]]:
    """By Vault path: a value for every required secret, as a fresh Vault would get them."""
    found: dict[str, dict[str, object]] = {}
    for service in services:
        for declared in service.declared():
            if not declared.required or declared.key is None:
                continue
            make = MAKERS.get((declared.path, declared.key), lambda: secrets.token_urlsafe(32))
            value = service.name if declared is service.database_user else make()
            found.setdefault(declared.path, {}).setdefault(declared.key, value)
    return found
