"""A real Prometheus reads from port 9102's stand-in what the requests made true.

Expected values are computed here, from the requests alone.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import pytest

from launcher.outside import Act, Outside, World, cut, garbage, status
from launcher.ports import free_ports
from tests.support.prometheus import Prometheus, prometheus
from tests.support.service_stand import Backing, Provided, serving
from zakupai_common.goszakup import Reason
from zakupai_common.web.identity import identity_headers
from zakupai_common.web.metrics_port import OPTION
from zakupai_risk_engine.engine import ROUND_OPTION

pytestmark = [pytest.mark.row("B6", "B7"), pytest.mark.real("prometheus")]
LOTS = [  # price, market prices with quantities
    ("84.99", [("100", "1")]),
    ("85.00", [("50", "2")]),
    ("849999.99", [("1000000", "1")]),
    ("120", [("33.33", "3"), ("0.01", "1")]),
    ("1000", [("10", "120")]),
    ("5", []),
    ("17.5", [("10", "1.5"), ("4", "2.25")]),
]


@pytest.fixture
def alone(provided: Provided, abroad: Outside) -> Provided:
    """Told where the stand-ins and its own port are."""
    settings = replace(
        provided.settings,
        urls={"goszakup": abroad.url, "telegram": abroad.url},
        options={OPTION: str(free_ports(1)[0]), ROUND_OPTION: "0"},
    )
    return replace(provided, settings=settings)


class Gateway:
    """Calls the service as the gateway does."""

    def __init__(self, address: str, key: bytes) -> None:
        self._address, self._key = address, key

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = identity_headers(
            self._key, method, path, user="user-1", scopes=["risk:write"], request_id="r"
        )
        return httpx.request(method, self._address + path, json=body, headers=headers, timeout=60)


def score(gateway: Gateway, lot_id: int, price: str, prices: list[tuple[str, str]]) -> None:
    body = {
        "title": "Лот",
        "price": price,
        "customer_bin": "123456789012",
        "plan_id": 1,
        "deadline": (datetime.now(UTC) + timedelta(days=40)).isoformat(),
        "prices": [{"source": "s", "price": one, "quantity": count} for one, count in prices],
    }
    assert gateway.call("PUT", f"/risk/lots/{lot_id}", body).status_code == 200
    assert gateway.call("POST", "/risk/score", {"lot_id": lot_id}).status_code == 200


def expected_ratio() -> Fraction:
    """Violations per 100 lots with a market, as the mission words it."""
    violations = known = 0
    for price, prices in LOTS:
        market = sum((Fraction(one) * Fraction(count) for one, count in prices), Fraction(0))
        if market:
            known += 1
            violations += (market - Fraction(price)) * 100 > 15 * market
    return Fraction(100 * violations, known)


@pytest.fixture
def scraping(alone: Provided, tmp_path: Path) -> Iterator[Prometheus]:
    port = alone.settings.options[OPTION]
    with prometheus(tmp_path / "prometheus", {"risk": f"127.0.0.1:{port}"}) as made:
        yield made


def test_prometheus_reads_the_ratio_and_the_errors_that_the_requests_caused(
    servers: Backing,
    alone: Provided,
    scraping: Prometheus,
    world: World,
    fresh_bin: Callable[[], str],
    tmp_path: Path,
) -> None:
    with servers.postgres.connect(alone.settings.database_name) as connection:
        connection.execute("TRUNCATE lots, lot_prices, risk_evaluations")
    with serving(alone, tmp_path / "first") as address:
        ready = httpx.get(f"{address}/ready").json()
        assert ready["parts"]["secrets"] == {"ready": True, "detail": "present"}
        scraping.scraped_since("risk", time.time())
        assert scraping.query("anti_dumping_ratio") == {}  # nothing is known: no 0
        gateway = Gateway(address, alone.identity_key)
        for lot_id, (price, prices) in enumerate(LOTS, 1):
            score(gateway, lot_id, price, prices)
        errors: Counter[Reason] = Counter()
        faults: list[tuple[list[Act], Reason, int]] = [
            ([status(500)] * 3, Reason.SERVER_ERROR, 503),
            ([cut] * 2, Reason.CONNECTION, 200),
            ([garbage], Reason.GARBAGE, 200),
            ([status(401)], Reason.UNAUTHORIZED, 503),
            ([status(429, Retry_After="60")], Reason.RATE_LIMITED, 429),
        ]
        answers: Counter[int] = Counter()
        for acts, reason, expected in faults:
            world.acts.extend(acts)
            answer = gateway.call("GET", f"/validate_rnu/{fresh_bin()}")
            assert answer.status_code == expected
            answers[expected] += 1
            errors[reason] += len(acts)

        scraping.scraped_since("risk", time.time())
        (ratio,) = scraping.query("anti_dumping_ratio").values()
        assert ratio == pytest.approx(float(expected_ratio()))
        assert 0 < ratio < 100
        found = scraping.query("goszakup_errors_total")
        assert found == {
            (("endpoint", "rnu"), ("reason", reason.value)): errors[reason] for reason in Reason
        }
        validations = scraping.query("rnu_validations_total > 0")
        assert validations == {
            (("result", "unknown"),): answers[200],
            (("result", "unavailable"),): answers[503],
            (("result", "rate_limited"),): answers[429],
        }
        assert sum(scraping.query("risk_assessments_total").values()) == len(LOTS)

    with serving(alone, tmp_path / "second"):
        scraping.scraped_since("risk", time.time())
        (after,) = scraping.query("anti_dumping_ratio").values()
        assert after == ratio
        assert set(scraping.query("goszakup_errors_total").values()) == {0.0}
