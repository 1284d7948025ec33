"""How metrics are written down: Prometheus text and Vault's JSON.

What lives here: pure rendering of points that someone else collected. What never does: a clock.
Invariants: names are Vault's (``vault`` + parts joined by ``_``), timers are summaries in
milliseconds with the quantiles 0.5, 0.9 and 0.99 (NaN when nothing was measured lately).
Source: Prometheus exposition format 0.0.4; shape of the JSON: Vault's ``sys/metrics``.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from zvault.base.gotime import SECOND_NS

QUANTILES = (0.5, 0.9, 0.99)
_TO_UNDERSCORE = str.maketrans(dict.fromkeys(" .=-/", "_"))
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class GaugePoint:
    """A value now."""

    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class CounterPoint:
    """A running total and the increments of the last interval."""

    labels: Labels
    value: float
    recent: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SummaryPoint:
    """Count and sum since start, and the sorted measurements of the last interval."""

    labels: Labels
    count: int
    total: float
    recent: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """All points of one name."""

    name: str
    dotted: str
    kind: str
    """``gauge``, ``counter`` or ``summary``."""
    points: list[Any]


def family_name(parts: Iterable[str]) -> str:
    """``("route", "read", "secret-")`` → ``vault_route_read_secret_``."""
    return "_".join(("vault", *parts)).translate(_TO_UNDERSCORE)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of sorted values; NaN of none."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def prometheus_text(families: Iterable[Family]) -> str:
    """Families in the given order, each with HELP and TYPE."""
    lines: list[str] = []
    for family in families:
        lines += (f"# HELP {family.name} {family.name}", f"# TYPE {family.name} {family.kind}")
        for point in sorted(family.points, key=lambda point: point.labels):
            lines += _point_lines(family.name, point)
    return "\n".join(lines) + "\n"


def _point_lines(name: str, point: GaugePoint | CounterPoint | SummaryPoint) -> list[str]:
    if not isinstance(point, SummaryPoint):
        return [f"{name}{_label_text(point.labels)} {_number(point.value)}"]
    lines = [
        f"{name}{_label_text((*point.labels, ('quantile', str(share))))} "
        f"{_number(quantile(point.recent, share))}"
        for share in QUANTILES
    ]
    labels = _label_text(point.labels)
    return [
        *lines,
        f"{name}_sum{labels} {_number(point.total)}",
        f"{name}_count{labels} {point.count}",
    ]


def _label_text(labels: Labels) -> str:
    if not labels:
        return ""
    inner = ",".join(f'{key}="{value.translate(_ESCAPES)}"' for key, value in labels)
    return "{" + inner + "}"


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(float(value))


def json_text(families: Iterable[Family], now_ns: int, interval_seconds: float) -> bytes:
    """``{Timestamp, Gauges, Points, Counters, Samples}`` of the last interval."""
    gauges: list[dict[str, Any]] = []
    counters: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    for family in families:
        for point in sorted(family.points, key=lambda point: point.labels):
            head = {"Name": family.dotted}
            if isinstance(point, GaugePoint):
                gauges.append({**head, "Value": point.value, "Labels": dict(point.labels)})
                continue
            if not point.recent:
                continue
            target = counters if isinstance(point, CounterPoint) else samples
            target.append(
                {**head, **_aggregate(point.recent, interval_seconds), "Labels": dict(point.labels)}
            )
    moment = datetime.fromtimestamp(now_ns // SECOND_NS, UTC)
    return orjson.dumps(
        {
            "Timestamp": moment.strftime("%Y-%m-%d %H:%M:%S +0000 UTC"),
            "Gauges": gauges,
            "Points": [],
            "Counters": counters,
            "Samples": samples,
        }
    )


def _aggregate(values: Sequence[float], interval_seconds: float) -> dict[str, float]:
    count, total = len(values), math.fsum(values)
    mean = total / count
    spread = (
        math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (count - 1)) if count > 1 else 0.0
    )
    return {
        "Count": count,
        "Rate": total / interval_seconds,
        "Sum": total,
        "Min": min(values),
        "Max": max(values),
        "Mean": mean,
        "Stddev": spread,
    }
