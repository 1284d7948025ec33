"""What billing counts for Prometheus beside its requests.

What lives here: two counters. What never does: a label from a request.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, Counter

from zakupai_common.web.parts import Parts


class BillingMetrics:
    """``billing_transactions_total{status}`` and ``billing_key_checks_total{result}``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.transactions = Counter(
            "billing_transactions_total", "Settled payments", ("status",), registry=registry
        )
        self.checks = Counter(
            "billing_key_checks_total", "Checked API keys", ("result",), registry=registry
        )


@asynccontextmanager
async def metrics(parts: Parts) -> AsyncIterator[None]:
    """The counters live as long as the app."""
    parts.put(BillingMetrics(parts.registry))
    yield
