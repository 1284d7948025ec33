"""The parts of risk-engine that live as long as the app.

What lives here: how they are made and ended. What never does: a route.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from zakupai_common.goszakup import Goszakup, GoszakupMetrics, goszakup_client
from zakupai_common.vault.declared import Declared
from zakupai_common.web.background import background, seconds_between
from zakupai_common.web.parts import Parts
from zakupai_risk_engine import lots
from zakupai_risk_engine.messages import outbox
from zakupai_risk_engine.messages.courier import Courier
from zakupai_risk_engine.messages.telegram import telegram_client
from zakupai_risk_engine.metrics import DatabaseGauges, Figures, RiskMetrics
from zakupai_risk_engine.rnu.cache import RnuCache
from zakupai_risk_engine.rnu.registry import ENDPOINT, Registry
from zakupai_risk_engine.rnu.validation import AGE, Validator
from zakupai_risk_engine.rounds import Rounds

GOSZAKUP_TOKEN = Declared("goszakup token", "shared/goszakup", "token")
ROUND_OPTION = "ZAKUPAI_RISK_ROUND_SECONDS"
"""How often it looks and tells; 300 when it is not set, "0" is never."""
BOT_TOKEN = Declared("Telegram bot token", "services/risk-engine/telegram", "bot_token")


@dataclass(frozen=True)
class Engine:
    """What routes use beside the database."""

    metrics: RiskMetrics
    goszakup: Goszakup
    validator: Validator
    rounds: Rounds


@asynccontextmanager
async def engine(parts: Parts) -> AsyncIterator[None]:
    """``parts.own(Engine)`` while the app runs."""
    urls, store = parts.settings.urls, parts.secrets
    metrics = RiskMetrics(parts.registry)
    errors = GoszakupMetrics(parts.registry, [ENDPOINT])
    parts.registry.register(DatabaseGauges(lambda: _figures(parts), asyncio.get_running_loop()))
    async with (
        goszakup_client(urls["goszakup"], lambda: store[GOSZAKUP_TOKEN], errors) as goszakup,
        telegram_client(urls["telegram"], lambda: store[BOT_TOKEN]) as telegram,
    ):
        registry = Registry(goszakup, lambda: parts.clock())
        cache = RnuCache(parts.redis, AGE)
        validator = Validator(cache, parts.database, registry, lambda: parts.clock())
        courier = Courier(parts.database, telegram, metrics, lambda: parts.clock())
        rounds = Rounds(parts.database, validator, courier, lambda: parts.clock())
        parts.put(Engine(metrics, goszakup, validator, rounds))
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(validator.close)
            if every := seconds_between(parts.settings, ROUND_OPTION, "300"):
                await stack.enter_async_context(background(rounds.forever(every), "rounds"))
            yield


async def _figures(parts: Parts) -> Figures:
    async with parts.database.begin() as connection:
        return Figures(await lots.count(connection), await outbox.backlog(connection))
