"""The business metrics of risk-engine.

What lives here: counters of what this process did, and gauges that are read from PostgreSQL at each
scrape. What never does: a label that a client can choose.
Invariants: a gauge from the database is there or it is not: without evaluations, or without the
database, there is no sample, never a 0 and never an old value.
"""

import asyncio
import concurrent.futures
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from zakupai_risk_engine.lots import Counts
from zakupai_risk_engine.messages.outbox import Backlog
from zakupai_risk_engine.rnu.states import State
from zakupai_risk_engine.scoring import Evaluation, RiskLevel

_log = logging.getLogger("zakupai.risk.metrics")
SCRAPE_SECONDS = 3.0
MESSAGE_RESULTS = ("sent", "repeated", "refused", "given_up", "postponed")
_PERCENTS = (0, 5, 10, 15, 20, 30, 50, 75, 100)


class RiskMetrics:
    """What this process did since it started; every label is there from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._assessments = Counter(
            "risk_assessments_total", "Scored lots", ["risk_level"], registry=registry
        )
        self._percents = Histogram(
            "anti_dumping_percent",
            "How far scored prices lay below their market, in percent",
            registry=registry,
            buckets=_PERCENTS,
        )
        self._validations = Counter(
            "rnu_validations_total",
            "Questions for a supplier's state, by what was answered",
            ["result"],
            registry=registry,
        )
        self._messages = Counter(
            "risk_messages_total", "Alerts by how an attempt ended", ["result"], registry=registry
        )
        for level in RiskLevel:
            self._assessments.labels(level.value)
        for result in (*(state.value.lower() for state in State), "rate_limited", "unavailable"):
            self._validations.labels(result)
        for result in MESSAGE_RESULTS:
            self._messages.labels(result)

    def assessed(self, found: Evaluation) -> None:
        """A lot was scored and the score is kept."""
        self._assessments.labels(found.level.value).inc()
        if found.anti_dumping_percent is not None:
            self._percents.observe(float(found.anti_dumping_percent))

    def validated(self, state: State) -> None:
        """Somebody was told a state."""
        self._validations.labels(state.value.lower()).inc()

    def not_validated(self, *, rate_limited: bool) -> None:
        """Somebody was told that nobody can say."""
        self._validations.labels("rate_limited" if rate_limited else "unavailable").inc()

    def message(self, result: str) -> None:
        """One attempt to send an alert."""
        self._messages.labels(result).inc()


@dataclass(frozen=True)
class Figures:
    """What the database says."""

    lots: Counts
    backlog: Backlog


class DatabaseGauges(Collector):
    """Asks ``read`` on the app's event loop whenever somebody scrapes, from another thread."""

    def __init__(
        self, read: Callable[[], Awaitable[Figures]], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._read = read
        self._loop = loop

    def describe(self) -> Iterator[Metric]:
        """The names, without asking."""
        yield from self._families(None)

    def collect(self) -> Iterator[Metric]:
        """The gauges, as far as they are known."""
        yield from self._families(self._figures())

    def _figures(self) -> Figures | None:
        reading = asyncio.run_coroutine_threadsafe(self._bounded(), self._loop)
        try:
            return reading.result(SCRAPE_SECONDS + 1)
        except (Exception, concurrent.futures.CancelledError) as error:
            reading.cancel()
            _log.warning("the business gauges are not known: %s", type(error).__name__)
            return None

    async def _bounded(self) -> Figures:
        async with asyncio.timeout(SCRAPE_SECONDS):
            return await self._read()

    @staticmethod
    def _families(figures: Figures | None) -> Iterator[Metric]:
        ratio = GaugeMetricFamily(
            "anti_dumping_ratio",
            "Anti-dumping violations per 100 lots whose market is known, by the last evaluation",
        )
        lots = GaugeMetricFamily(
            "risk_lots_evaluated",
            "Lots by the last evaluation of each",
            labels=["anti_dumping"],
        )
        waiting = GaugeMetricFamily("risk_messages_waiting", "Alerts that are not delivered yet")
        failed = GaugeMetricFamily("risk_messages_failed", "Alerts that were given up")
        known = GaugeMetricFamily(
            "risk_database_read", "1 when the gauges of this scrape could be read"
        )
        if figures is not None:
            if figures.lots.ratio is not None:
                ratio.add_metric([], figures.lots.ratio)
            lots.add_metric(["violation"], figures.lots.violating)
            lots.add_metric(["within_limit"], figures.lots.within)
            lots.add_metric(["market_unknown"], figures.lots.unknown)
            waiting.add_metric([], figures.backlog.waiting)
            failed.add_metric([], figures.backlog.failed)
        known.add_metric([], float(figures is not None))
        yield from (ratio, lots, waiting, failed, known)
