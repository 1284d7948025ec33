"""The documented JSON shapes are the real ones, and sentences say the same."""

import re
from dataclasses import replace

import pytest

from tests.support.real import ROOT
from zvault.cli.store_text import (
    comparison_json,
    comparison_lines,
    copy_json,
    copy_lines,
    inspection_lines,
    verify_lines,
)
from zvault.offline.inspect import Inspection, Suspicion
from zvault.offline.report import Counts, Finding, Unopened, VerifyReport
from zvault.storage.compare import Comparison
from zvault.storage.copy import CopyReport

REPORT = VerifyReport(
    store="file:/x",
    family="vault",
    shares=5,
    threshold=3,
    terms=(1, 2),
    entries=3,
    counts=Counts(),
    unopened=(Unopened("sys/policy/a", "cut short"),),
    unopened_count=1,
    findings=(Finding("k", "odd thing", False), Finding("l", "lost thing", True)),
    findings_count=2,
    losses=1,
    vanished=2,
    known=0,
    seconds=0.0,
)
INSPECTION = Inspection(
    store="file:/x",
    is_initialized=False,
    family="vault",
    seal=None,
    seal_problem="there is no core/seal-config",
    entries=1,
    bytes=2,
    by_prefix={"core": 1},
    terms={1: 1},
    version_1_records=0,
    skipped=0,
    suspicions=(Suspicion("", "nothing decrypts"),),
    suspicions_count=1,
)
COPY = CopyReport("a", "b", 2, 10, 2, 0, 0, 2, "read-back", ("x",), ("y.temp",), True, False, 0.5)
SHAPES = {
    "inspect": INSPECTION.to_json(),
    "verify": REPORT.to_json(),
    "compare": comparison_json(Comparison(), "a", "b"),
    "copy": copy_json(COPY),
}


@pytest.mark.parametrize("command", SHAPES)
def test_every_field_is_documented_and_every_documented_field_is_there(command: str) -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    section = text.partition(f"### `zvault store {command} ")[2].partition("\n##")[0]
    fields = section.partition("JSON:")[2] + section.partition("JSON:\n")[2]
    named = set(re.findall(r"`([a-z_0-9]+)`", fields))
    inside = {"key", "problem", "reason", "is_loss", "shares", "threshold", "stored_shares", "type"}
    assert set(SHAPES[command]) <= named
    assert named - inside - {"root", "compare"} <= set(SHAPES[command])


def test_a_report_with_problems_is_not_ok_and_says_which() -> None:
    assert not REPORT.ok
    assert REPORT.describe() == "2 problems: sys/policy/a (cut short), l (lost thing)"
    lines = verify_lines(REPORT)
    assert "NOT OPENED sys/policy/a: cut short" in lines
    assert lines.index("LOST l: lost thing") < lines.index("odd k: odd thing")
    assert any("live" in line for line in lines)


def test_an_inspection_says_what_is_odd() -> None:
    lines = inspection_lines(INSPECTION)
    assert "NOT initialised" in lines[0]
    assert lines[-1] == "odd: the store: nothing decrypts"


def test_a_comparison_names_the_first_of_many() -> None:
    many = Comparison(missing_in_b=tuple(f"k{n}" for n in range(30)), compared=1)
    lines = comparison_lines(many, "a", "b")
    assert "missing in the second: k0" in lines
    assert lines[-1] == "missing in the second: 10 more"


def test_a_copy_of_a_serving_store_claims_no_equality_of_the_whole() -> None:
    live = replace(COPY, live=True)
    assert copy_json(COPY)["equal"] is True
    assert copy_json(live)["equal"] is None
    assert "proven equal" in copy_lines(COPY)[0]
    assert "each seen equal once" in copy_lines(live)[0]


def test_whatever_is_left_out_of_a_list_is_counted() -> None:
    many = tuple(f"k{n}" for n in range(30))
    unopened = tuple(Unopened(key, "cut") for key in many)
    findings = tuple(Finding(key, "odd", False) for key in many)
    report = replace(
        REPORT, unopened=unopened, unopened_count=30, findings=findings, findings_count=30, losses=0
    )
    assert {"NOT OPENED: 10 more", "LOST or odd: 10 more"} <= set(verify_lines(report))
    assert "not copied, no entry: 10 more" in copy_lines(replace(COPY, foreign=many))
    odd = replace(
        INSPECTION, suspicions=tuple(Suspicion(k, "x") for k in many), suspicions_count=99
    )
    assert inspection_lines(odd)[-1] == "odd: 79 more"


def test_the_verdict_of_a_whole_store_says_what_is_odd_all_the_same() -> None:
    odd = replace(REPORT, unopened=(), unopened_count=0, findings=REPORT.findings[:1], losses=0)
    odd = replace(odd, findings_count=1)
    assert verify_lines(odd)[-1] == "every entry opens; 1 odd, none of them a loss"
    whole = replace(odd, findings=(), findings_count=0)
    assert verify_lines(whole)[-1] == "every entry opens"


def test_a_copy_says_its_rate_and_what_it_met() -> None:
    lines = copy_lines(COPY)
    assert "4 entries/s" in lines[0]
    assert "resumed" in lines[1]
    assert lines[2:] == ["not copied, no entry: x", "copied, but looks like a leftover: y.temp"]
