"""Business metrics before and after: on risk-engine's own port, and in a real Prometheus.

What lives here: what the samples must be, from what was there before (PostgreSQL's rows, the
counters) and the requests of the journey. What never does: a request of a user.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from launcher.estate import Estate
from launcher.smoke.checks import Check, CheckSkippedError, require
from launcher.smoke.expected import Counted, lots_for
from launcher.smoke.journey import Journey
from launcher.smoke.metrics import scrape
from launcher.smoke.prometheus import Labels, Prometheus, prometheus
from zakupai_common.web.metrics_port import OPTION as METRICS_PORT

RISK = "risk-engine"
RATIO, ERRORS = "anti_dumping_ratio", "goszakup_errors_total"
_ENDPOINT = ("endpoint", "rnu")
_LOTS = """
SELECT count(*) FILTER (WHERE violation), count(violation)
FROM (SELECT DISTINCT ON (lot_id) violation FROM risk_evaluations ORDER BY lot_id, id DESC) last
"""


@dataclass
class Watching:
    """``server`` is None where no Prometheus is installed."""

    estate: Estate
    journey: Journey
    server: Prometheus | None
    _lots: Counted = field(default_factory=Counted)
    _errors: dict[Labels, float] = field(default_factory=dict)

    def before(self) -> Check:
        """To be made before the journey."""
        return Check("metrics: known before the requests", self.look)

    def after(self) -> list[Check]:
        """To be made after it."""
        where = f"{RISK}'s metrics port"
        return [
            Check(f"{where}: {RATIO}", self.ratio_on_the_port),
            Check(f"{where}: {ERRORS}", self.errors_on_the_port),
            Check(f"Prometheus: {RATIO}", self.ratio_in_prometheus),
            Check(f"Prometheus: {ERRORS}", self.errors_in_prometheus),
        ]

    def look(self) -> str:
        """What was there before; on a fresh machine the ratio is absent, never 0."""
        with self.estate.postgres.connect(RISK) as connection:
            row = connection.execute(_LOTS).fetchone() or (0, 0)
        self._lots = Counted(int(str(row[0])), int(str(row[1])))
        self.journey.lots = lots_for(self._lots)
        found = scrape(self._port)
        self._errors = found.named(ERRORS)
        require(bool(self._errors), f"{ERRORS} has no samples")
        self._same_ratio(found.one(RATIO), self._lots.ratio)
        return f"{self._lots.known} lots judged, {sum(self._errors.values()):.0f} errors"

    def ratio_on_the_port(self) -> str:
        return self._same_ratio(scrape(self._port).one(RATIO), self._expected_ratio())

    def errors_on_the_port(self) -> str:
        return self._same_errors(scrape(self._port).named(ERRORS))

    def ratio_in_prometheus(self) -> str:
        found = self._scraped(RATIO)
        require(len(found) <= 1, "there is more than one")
        return self._same_ratio(next(iter(found.values()), None), self._expected_ratio())

    def errors_in_prometheus(self) -> str:
        return self._same_errors(self._scraped(ERRORS))

    def _scraped(self, name: str) -> dict[Labels, float]:
        if self.server is None:
            raise CheckSkippedError("prometheus is not installed")
        self.server.scraped_since(RISK, time.time())
        return self.server.query(f'{name}{{job="{RISK}"}}')

    @property
    def _port(self) -> str:
        return f"http://127.0.0.1:{self.estate.place.metrics_port(RISK)}/metrics"

    def _expected_ratio(self) -> float | None:
        require(bool(self.journey.scored), "no lot was scored")
        return self._lots.after(self.journey.scored).ratio

    @staticmethod
    def _same_ratio(found: float | None, wanted: float | None) -> str:
        close = found is not None and wanted is not None and abs(found - wanted) < 1e-9
        require(close or found is wanted, f"it is {found}, not {wanted}")
        return "absent, as no lot is judged" if wanted is None else f"{wanted:.4f}"

    def _same_errors(self, found: dict[Labels, float]) -> str:
        require(bool(self.journey.errors), "no failure was caused")
        wanted = dict(self._errors)
        for reason, count in self.journey.errors.items():
            wanted[(_ENDPOINT, ("reason", reason))] += count
        wrong = [dict(one)["reason"] for one in wanted if found.get(one) != wanted[one]]
        require(found.keys() == wanted.keys() and not wrong, f"wrong for: {', '.join(wrong)}")
        more = sum(self.journey.errors.values())
        return f"{sum(wanted.values()):.0f}, {more} of them from these requests"


@contextmanager
def watching(estate: Estate, journey: Journey) -> Iterator[Watching]:
    """With a Prometheus for every service that has metrics of its own, if one is installed."""
    found = shutil.which("prometheus")
    if found is None:
        yield Watching(estate, journey, None)
        return
    jobs = {
        one.name: f"127.0.0.1:{estate.place.metrics_port(one.name)}"
        for one in estate.services
        if METRICS_PORT in one.options
    }
    folder = estate.place.work / "prometheus"
    with prometheus(Path(found), folder, jobs, estate.programs) as server:
        yield Watching(estate, journey, server)
    shutil.rmtree(folder)
