"""Metrics: Vault's names and types, milliseconds, quantiles of the last ten seconds only."""

import math
import re
from pathlib import Path

import orjson
import pytest

from zvault.base.clock import ManualClock
from zvault.engine.telemetry.metrics import WINDOW_SAMPLES, Metrics
from zvault.engine.telemetry.text import family_name, quantile

GOLDEN = Path(__file__).parent.parent.parent / "museum" / "metrics"


def types(text: str) -> dict[str, str]:
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))


def sample(text: str, line: str) -> str:
    found = [row for row in text.splitlines() if row.startswith(line + " ")]
    assert len(found) == 1, (line, text)
    return found[0].rsplit(" ", 1)[1]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def metrics(clock: ManualClock) -> Metrics:
    return Metrics(clock, cluster="vault-cluster-1")


def fill(metrics: Metrics) -> None:
    """One of each thing the engine reports."""
    cluster = metrics.cluster_label()
    metrics.gauge(("core", "unsealed"), 1, cluster)
    metrics.gauge(("core", "active"), 1, cluster)
    metrics.gauge(("core", "in_flight_requests"), 1, cluster)
    metrics.gauge(("expire", "num_leases"), 7)
    metrics.gauge(
        ("core", "mount_table", "num_entries"), 3, {**cluster, "local": "false", "type": "auth"}
    )
    for parts in (
        ("core", "handle_request"),
        ("core", "handle_login_request"),
        ("core", "check_token"),
        ("core", "fetch_acl_and_token"),
        ("core", "unseal"),
        ("route", "read", "zakupai-"),
        ("route", "update", "auth-approle-"),
        ("barrier", "get"),
        ("barrier", "put"),
        ("token", "create"),
        ("audit", "log_request"),
        ("audit", "log_response"),
    ):
        metrics.observe(parts, 1.5)
    metrics.increment(("audit", "log_request_failure"), by=0)
    metrics.increment(
        ("token", "creation"), {**cluster, "auth_method": "approle", "token_type": "service"}
    )
    metrics.increment(("barrier", "estimated_encryptions"), {"term": "1"})


@pytest.mark.parametrize("server", ["vault", "openbao"])
def test_every_family_has_the_type_that_a_real_server_gives_it(
    metrics: Metrics, server: str
) -> None:
    real = types((GOLDEN / f"{server}-metrics.prom").read_text())
    fill(metrics)
    ours = types(metrics.render_prometheus())
    shared = ours.keys() & real.keys()
    assert {name: ours[name] for name in shared} == {name: real[name] for name in shared}
    assert len(shared) >= (15 if server == "vault" else 10)


def test_families_of_a_vault_golden_scrape_are_all_ours_or_known_to_be_gos(
    metrics: Metrics,
) -> None:
    fill(metrics)
    ours = types(metrics.render_prometheus())
    real = types((GOLDEN / "vault-metrics.prom").read_text())
    assert not [name for name in ours if name not in real]


def test_a_line_of_each_kind_reads_as_prometheus_wants_it(metrics: Metrics) -> None:
    fill(metrics)
    text = metrics.render_prometheus()
    assert sample(text, 'vault_core_unsealed{cluster="vault-cluster-1"}') == "1"
    assert sample(text, "vault_route_read_zakupai__count") == "1"
    assert sample(text, "vault_route_read_zakupai__sum") == "1.5"
    assert sample(text, 'vault_route_read_zakupai_{quantile="0.99"}') == "1.5"
    assert sample(text, "vault_audit_log_request_failure") == "0"
    line = r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-z_]+=\"[^\"]*\",?)*\})? (NaN|[+-]?[0-9.e+-]+)"
    for row in text.splitlines():
        assert row.startswith("# ") or re.fullmatch(line, row), row


def test_quantiles_forget_what_is_older_than_ten_seconds_but_count_and_sum_do_not(
    metrics: Metrics, clock: ManualClock
) -> None:
    metrics.observe(("core", "handle_request"), 100.0)
    clock.advance(11)
    idle = metrics.render_prometheus()
    assert sample(idle, 'vault_core_handle_request{quantile="0.5"}') == "NaN"
    metrics.observe(("core", "handle_request"), 2.0)
    text = metrics.render_prometheus()
    assert sample(text, 'vault_core_handle_request{quantile="0.99"}') == "2"
    assert sample(text, "vault_core_handle_request_sum") == "102"
    assert sample(text, "vault_core_handle_request_count") == "2"


def test_memory_is_bounded_and_the_count_is_still_exact(metrics: Metrics) -> None:
    for value in range(3 * WINDOW_SAMPLES):
        metrics.observe(("core", "handle_request"), value)
    summary = metrics.summary(("core", "handle_request"))
    assert summary.count == 3 * WINDOW_SAMPLES
    assert len(summary.recent()) == WINDOW_SAMPLES


def test_the_nearest_rank_quantile_is_an_observed_value() -> None:
    assert math.isnan(quantile((), 0.5))
    assert quantile((7.0,), 0.99) == 7.0
    assert quantile(tuple(range(1, 101)), 0.5) == 50
    assert quantile(tuple(range(1, 101)), 0.99) == 99


def test_label_values_cannot_break_a_line(metrics: Metrics) -> None:
    metrics.gauge(("x",), 1, {"mount_point": 'a"b\\c\nd'})
    assert 'vault_x{mount_point="a\\"b\\\\c\\nd"} 1' in metrics.render_prometheus()


def test_names_lose_what_prometheus_forbids() -> None:
    assert family_name(("route", "read", "auth-approle-")) == "vault_route_read_auth_approle_"
    assert family_name(("audit", "file/", "log_request")) == "vault_audit_file__log_request"


def test_a_supplier_is_asked_at_each_scrape_until_it_is_removed(metrics: Metrics) -> None:
    leases = [3]
    remove = metrics.on_scrape(lambda: metrics.gauge(("expire", "num_leases"), leases[0]))
    assert sample(metrics.render_prometheus(), "vault_expire_num_leases") == "3"
    leases[0] = 4
    assert sample(metrics.render_prometheus(), "vault_expire_num_leases") == "4"
    remove()
    leases[0] = 5
    assert sample(metrics.render_prometheus(), "vault_expire_num_leases") == "4"


def test_json_holds_the_last_ten_seconds(metrics: Metrics, clock: ManualClock) -> None:
    metrics.increment(("token", "creation"), {"auth_method": "token"}, by=2)
    clock.advance(11)
    fill(metrics)
    metrics.observe(("core", "handle_request"), 4.5)
    answer = orjson.loads(metrics.render_json())
    assert set(answer) == {"Timestamp", "Gauges", "Points", "Counters", "Samples"}
    assert answer["Timestamp"].endswith(" +0000 UTC")
    samples = {entry["Name"]: entry for entry in answer["Samples"]}
    handled = samples["vault.core.handle_request"]
    assert (handled["Count"], handled["Sum"], handled["Min"], handled["Max"]) == (2, 6, 1.5, 4.5)
    assert (handled["Mean"], handled["Rate"]) == (3, 0.6)
    counters = [entry["Labels"] for entry in answer["Counters"] if "creation" in entry["Name"]]
    assert counters == [
        {"auth_method": "approle", "cluster": "vault-cluster-1", "token_type": "service"}
    ]
    gauges = {entry["Name"]: entry["Value"] for entry in answer["Gauges"]}
    assert gauges["vault.expire.num_leases"] == 7
