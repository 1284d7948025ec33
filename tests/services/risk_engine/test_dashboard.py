"""The dashboard shows what is exported, and never a 0 for what is missing."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.real import ROOT, require
from tests.support.service_stand import Stand

DASHBOARD: dict[str, Any] = json.loads((ROOT / "grafana" / "business_metrics.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [target for panel in PANELS for target in panel["targets"]]
WORDS = {"sum", "max", "min", "by", "rate", "increase", "histogram_quantile"}
PROMISED = {
    "anti_dumping_ratio",
    "anti_dumping_percent_bucket",
    "goszakup_errors_total",
    "risk_assessments_total",
    "rnu_validations_total",
    "http_requests_total",
}


def names_in(expression: str) -> set[str]:
    """The metrics that an expression asks for."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\bby \([^)]*\)|\$__\w+", " ", expression)
    return set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare)) - WORDS


async def test_every_expression_names_a_metric_that_the_service_exports(risk: Stand) -> None:
    await risk.call("GET", "/risk/lots/1")
    text = (await risk.client.get("/metrics")).text
    families = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    series = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line[:1] not in ("#", "")}
    asked = {name for target in TARGETS for name in names_in(target["expr"])}
    assert asked
    assert not asked - series - families
    assert asked >= PROMISED


def test_missing_data_is_shown_as_missing() -> None:
    for target in TARGETS:
        assert not re.search(r"\b(vector|absent|or|clamp_min)\b", target["expr"]), target["expr"]
    for panel in PANELS:
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["noValue"] == "no data"
        assert not defaults["mappings"]
        assert not panel["fieldConfig"]["overrides"]
        if panel["type"] == "timeseries":
            assert defaults["custom"]["spanNulls"] is False
        assert "nullPointMode" not in json.dumps(panel)


def test_grafana_finds_what_it_needs() -> None:
    assert [one["type"] for one in DASHBOARD["templating"]["list"]] == ["datasource"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(set(refs)) == len(refs)
        assert all(refs)
        assert {one["datasource"]["uid"] for one in (panel, *panel["targets"])} == {"${datasource}"}
        assert panel["title"]
        assert panel["description"]


def test_no_panel_covers_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not taken & cells, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells


@pytest.mark.real("prometheus")
def test_prometheus_understands_every_expression(tmp_path: Path) -> None:
    rules = [
        {"record": f"check:{number}", "expr": target["expr"].replace("$__rate_interval", "1m")}
        for number, target in enumerate(TARGETS)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        [require("promtool"), "check", "rules", str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(TARGETS)} rules found" in done.stdout
