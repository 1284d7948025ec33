"""Metrics of a service: requests, durations, and how fresh its secrets are.

What lives here: the metrics of one app's registry, and the text that shows them. What
never does: a label that a client can choose.
Invariant: one registry an app, so two apps in one process do not add up.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response
from starlette.types import Scope

from zakupai_common.vault.store import SecretStore
from zakupai_common.web.routes import endpoint_of, method_of

_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class HttpMetrics:
    """``http_requests_total`` and ``http_request_duration_seconds``."""

    def __init__(self, service: str, registry: CollectorRegistry) -> None:
        labels = ("service", "method", "endpoint", "status")
        self._service = service
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._requests = Counter(
            "http_requests_total", "Answered requests", labels, registry=registry
        )
        self._durations = Histogram(
            "http_request_duration_seconds",
            "Time from the request's head to the answer's end",
            labels,
            registry=registry,
            buckets=_BUCKETS_SECONDS,
        )

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one request; ``status`` 0 is a connection that broke without an answer."""
        labels = (method_of(scope), endpoint_of(scope), status)
        children = self._children.get(labels)
        if children is None:
            texts = (self._service, *labels[:2], str(status))
            children = (self._requests.labels(*texts), self._durations.labels(*texts))
            self._children[labels] = children
        requests, durations = children
        requests.inc()
        durations.observe(seconds)


class SecretsCollector(Collector):
    """How the store does: read at each scrape."""

    def __init__(self, service: str, store: SecretStore) -> None:
        self._service = service
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """Gauges for the state, counters for what was done."""
        health = self._store.health()
        gauges = {
            "ready": ("Every required secret can be read", float(health.ready)),
            "fresh": ("The last reading got all of them", float(health.fresh)),
            "oldest_age_seconds": ("Age of the oldest value served", health.oldest_age_seconds),
        }
        for name, (text, value) in gauges.items():
            gauge = GaugeMetricFamily(f"zakupai_secrets_{name}", text, labels=["service"])
            gauge.add_metric([self._service], value)
            yield gauge
        counts = health.counts
        counters = {"logins": counts.logins, "renewals": counts.renewals}
        counters |= {"refreshes": counts.refreshes, "failures": counts.failures}
        for name, count in counters.items():
            counter = CounterMetricFamily(
                f"zakupai_secrets_{name}", f"{name} since the start", labels=["service"]
            )
            counter.add_metric([self._service], count)
            yield counter


def exposition(registry: CollectorRegistry) -> Response:
    """The text that Prometheus reads."""
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
