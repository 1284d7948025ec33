"""The sender of alerts.

What lives here: taking alerts one by one and what follows from each outcome. What never does: a
statement, HTTP.
Invariants: each alert is delivered once, or the text itself says that it may be a repeat; one that
cannot be delivered is kept as failed with its reason, never forgotten.
"""

import datetime
import logging
from collections.abc import Callable
from random import Random

from zakupai_common.db import Database
from zakupai_common.vault.lease import backoff_seconds
from zakupai_risk_engine.messages import outbox
from zakupai_risk_engine.messages.outbox import Alert
from zakupai_risk_engine.messages.telegram import (
    Doubtful,
    NotSent,
    Outcome,
    Refused,
    Sent,
    Telegram,
)
from zakupai_risk_engine.messages.text import change_text
from zakupai_risk_engine.metrics import RiskMetrics

_log = logging.getLogger("zakupai.risk.courier")
MOST_DOUBTS = 5
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 30.0, 3600.0
_LUCK = Random()  # noqa: S311 - spreads load, hides nothing


class Courier:
    """One for a process; several processes share the work."""

    def __init__(
        self,
        database: Database,
        telegram: Telegram,
        metrics: RiskMetrics,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._database = database
        self._telegram = telegram
        self._metrics = metrics
        self._clock = clock
        self._quiet_until = datetime.datetime.min.replace(tzinfo=datetime.UTC)

    async def deliver(self) -> int:
        """Send what is due; how many messages Telegram took.

        Raises DatabaseUnavailableError; what was held then is sent again when its hold ends, and
        says that it may be a repeat. Whatever is wrong with Telegram ends the round: the next
        message would meet it too.
        """
        count = 0
        while self._clock() >= self._quiet_until:
            async with self._database.begin() as connection:
                alert = await outbox.take(connection, self._clock())
            if alert is None:
                break
            text = change_text(
                alert.number, alert.old, alert.new, alert.observed_at, repeat=alert.doubts > 0
            )
            outcome = await self._telegram.send(alert.chat_id, text)
            await self._note(alert, outcome)
            count += isinstance(outcome, Sent)
            if isinstance(outcome, NotSent):
                self._quiet_until = self._clock() + _seconds(outcome.wait_seconds)
            if isinstance(outcome, NotSent | Doubtful):
                _log.warning("an alert is postponed: %s", outcome.why)
                break
        return count

    async def _note(self, alert: Alert, outcome: Outcome) -> None:
        now = self._clock()
        doubt = isinstance(outcome, Doubtful)
        async with self._database.begin() as connection:
            match outcome:
                case Sent(message_id):
                    await outbox.sent(connection, alert, message_id, now)
                    result = "repeated" if alert.doubts else "sent"
                case Refused(why):
                    await outbox.failed(connection, alert, why, now, doubt=doubt)
                    result = "refused"
                case Doubtful(why) if alert.doubts + 1 >= MOST_DOUBTS:
                    why = f"given up after {alert.doubts + 1} tries that may have arrived: {why}"
                    await outbox.failed(connection, alert, why, now, doubt=True)
                    result = "given_up"
                case Doubtful(why) | NotSent(why):
                    due_at = now + _seconds(_wait(alert, outcome))
                    await outbox.later(connection, alert, why, due_at, doubt=doubt)
                    result = "postponed"
        self._metrics.message(result)


def _wait(alert: Alert, outcome: NotSent | Doubtful) -> float:
    if isinstance(outcome, NotSent):
        return outcome.wait_seconds
    return backoff_seconds(
        alert.doubts + 1, _LUCK.random(), first=FIRST_WAIT_SECONDS, longest=LONGEST_WAIT_SECONDS
    )


def _seconds(count: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=count)
