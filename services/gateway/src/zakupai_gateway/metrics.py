"""What the gateway counts beside requests.

What lives here: its metrics. What never does: a label that a client can choose.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge

from zakupai_common.breaker import Breaker
from zakupai_gateway.limits.limiter import Away


class GatewayMetrics:
    """One app's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        limits = Counter(
            "gateway_limit_checks_total",
            "Requests by who counted them: redis, local, open or closed",
            ["by"],
            registry=registry,
        )
        self._limits_by = {
            by: limits.labels(by) for by in ("redis", *(away.value for away in Away))
        }
        self._refused = Counter(
            "gateway_credentials_refused_total",
            "Tokens and API keys that were not believed",
            ["reason"],
            registry=registry,
        )
        self._failed = Counter(
            "gateway_upstream_failures_total",
            "Requests that a service did not answer",
            ["service", "reason"],
            registry=registry,
        )
        self._open = Gauge(
            "gateway_breaker_open",
            "1: the service failed in a row and is left alone",
            ["service"],
            registry=registry,
        )

    def counted(self, by: str) -> None:
        """A check of limits."""
        self._limits_by[by].inc()

    def refused(self, reason: str) -> None:
        """A credential that was not believed."""
        self._refused.labels(reason).inc()

    def failed(self, service: str, reason: str) -> None:
        """A request that a service did not answer."""
        self._failed.labels(service, reason).inc()

    def watch(self, service: str, breaker: Breaker) -> None:
        """Show this breaker from now on."""
        self._open.labels(service).set_function(lambda: float(breaker.is_open))
