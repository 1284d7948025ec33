"""What is counted and timed, and the two texts that ``sys/metrics`` answers with.

What lives here: gauges, counters and summaries under Vault's names. What never does: a decision
about what is worth counting, HTTP, a thread.
Invariants: a time is in milliseconds; observing costs one dict look-up and two appends, quantiles
are worked out when someone looks; memory is bounded (``WINDOW_SAMPLES`` a summary).
Source of the names: Vault's telemetry (``docs/metrics.md``).
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from zvault.base.clock import Clock
from zvault.engine.telemetry.text import (
    CounterPoint,
    Family,
    GaugePoint,
    SummaryPoint,
    family_name,
    json_text,
    prometheus_text,
)

WINDOW_SECONDS = 10.0
WINDOW_SAMPLES = 2048

Labels = tuple[tuple[str, str], ...]


class Summary:
    """One timer: count and sum for ever, quantiles over the last ten seconds."""

    __slots__ = ("_now", "_window", "count", "total")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._window: deque[tuple[float, float]] = deque(maxlen=WINDOW_SAMPLES)
        self.count = 0
        self.total = 0.0

    def add(self, milliseconds: float) -> None:
        """Record one measurement."""
        self.count += 1
        self.total += milliseconds
        self._window.append((self._now(), milliseconds))

    def add_at(self, now: float, milliseconds: float) -> None:
        """Like ``add`` for a caller that has just looked at the (monotonic) clock."""
        self.count += 1
        self.total += milliseconds
        self._window.append((now, milliseconds))

    def add_since(self, now: float, started: Sequence[float]) -> None:
        """Record one measurement for each of ``started`` (monotonic seconds), all ended ``now``."""
        milliseconds = [(now - begun) * 1e3 for begun in started]
        self.count += len(milliseconds)
        self.total += sum(milliseconds)
        self._window.extend([(now, value) for value in milliseconds])

    def recent(self) -> list[float]:
        """The measurements of the last ten seconds (at most ``WINDOW_SAMPLES``), sorted."""
        oldest = self._now() - WINDOW_SECONDS
        window = self._window
        while window and window[0][0] < oldest:
            window.popleft()
        return sorted(value for _, value in window)


@dataclass(slots=True)
class _Counter:
    value: float = 0.0
    touched: int = 0
    recent: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=WINDOW_SAMPLES))


class Metrics:
    """The registry; lives as long as the server, not only while unsealed."""

    def __init__(self, clock: Clock, *, cluster: str = "") -> None:
        self._clock = clock
        self._now = clock.monotonic
        self.now = clock.monotonic
        """The clock of all timers, in seconds."""
        self.cluster = cluster
        """Value of the ``cluster`` label; set once the cluster's name is known."""
        self._summaries: dict[tuple[str, ...], Summary] = {}
        self._counters: dict[tuple[tuple[str, ...], Labels], _Counter] = {}
        self._gauges: dict[tuple[tuple[str, ...], Labels], float] = {}
        self._process: dict[str, tuple[str, float]] = {}
        self._suppliers: list[Callable[[], None]] = []

    def summary(self, parts: tuple[str, ...]) -> Summary:
        """The timer itself, for callers that observe often and want to keep it."""
        found = self._summaries.get(parts)
        if found is None:
            found = self._summaries[parts] = Summary(self._now)
        return found

    def observe(self, parts: tuple[str, ...], milliseconds: float) -> None:
        """Record one measurement of the timer ``parts`` (``("core", "handle_request")``)."""
        found = self._summaries.get(parts)
        if found is None:
            found = self.summary(parts)
        found.add(milliseconds)

    def increment(
        self, parts: Sequence[str], labels: Mapping[str, str] | None = None, by: float = 1
    ) -> None:
        """Raise a counter; ``by=0`` makes it visible at zero."""
        key = (tuple(parts), _labels(labels))
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = _Counter()
        counter.value += by
        counter.touched += 1
        counter.recent.append((self._now(), by))

    def gauge(
        self, parts: Sequence[str], value: float, labels: Mapping[str, str] | None = None
    ) -> None:
        """Set a gauge."""
        self._gauges[(tuple(parts), _labels(labels))] = value

    def drop_gauge(self, parts: Sequence[str], labels: Mapping[str, str] | None = None) -> None:
        """Forget a gauge that has no true value any more; absent is fine."""
        self._gauges.pop((tuple(parts), _labels(labels)), None)

    def process(self, name: str, kind: str, value: float) -> None:
        """Set a figure of the process; these have no ``vault_`` in front."""
        self._process[name] = (kind, value)

    def cluster_label(self) -> dict[str, str]:
        """The label of everything that Vault reports through its cluster sink."""
        return {"cluster": self.cluster}

    def on_scrape(self, supplier: Callable[[], None]) -> Callable[[], None]:
        """Call ``supplier`` before each rendering so that it sets gauges; returns its remover."""
        self._suppliers.append(supplier)

        def remove() -> None:
            if supplier in self._suppliers:
                self._suppliers.remove(supplier)

        return remove

    def families(self) -> list[Family]:
        """Everything, by name; calls the suppliers first."""
        for supplier in list(self._suppliers):
            supplier()
        found: dict[str, Family] = {}
        for (parts, labels), value in self._gauges.items():
            _family(found, parts, "gauge").points.append(GaugePoint(labels, value))
        oldest = self._now() - WINDOW_SECONDS
        for (parts, labels), counter in self._counters.items():
            recent = [by for at, by in counter.recent if at >= oldest]
            _family(found, parts, "counter").points.append(
                CounterPoint(labels, counter.value, tuple(recent))
            )
        for parts, summary in self._summaries.items():
            point = SummaryPoint((), summary.count, summary.total, tuple(summary.recent()))
            _family(found, parts, "summary").points.append(point)
        for name, (kind, value) in self._process.items():
            found[name] = Family(name, name, kind, [GaugePoint((), value)])
        return [found[name] for name in sorted(found)]

    def render_prometheus(self) -> str:
        """Prometheus text format 0.0.4."""
        return prometheus_text(self.families())

    def render_json(self) -> bytes:
        """Vault's own JSON: gauges, counters and samples of the last ten seconds."""
        return json_text(self.families(), self._clock.now_ns(), WINDOW_SECONDS)


def _labels(labels: Mapping[str, str] | None) -> Labels:
    return tuple(sorted(labels.items())) if labels else ()


def _family(found: dict[str, Family], parts: tuple[str, ...], kind: str) -> Family:
    name = family_name(parts)
    family = found.get(name)
    if family is None:
        family = found[name] = Family(name, ".".join(("vault", *parts)), kind, [])
    return family
