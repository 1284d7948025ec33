"""The demo from outside: it succeeds with all its zeros, and damage makes it fail and say what."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.real import require

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Told:
    """What a run of the demo said."""

    code: int
    text: str
    report: dict[str, Any]
    page: str


def run_demo(place: Path, *options: str, timeout_seconds: float = 900) -> Told:
    """One run with a work directory and reports of its own."""
    for server in ("openbao-2.6.2", "seaweedfs", "caddy"):
        require(server)
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "demo", "--work", str(place / "work")),
            *("--reports", str(place), *options),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
    )
    report = place / "demo-report.json"
    assert report.exists(), done.stdout + done.stderr
    return Told(
        done.returncode,
        done.stdout,
        json.loads(report.read_text()),
        (place / "demo-report.html").read_text(),
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return run_demo(tmp_path_factory.mktemp("demo"), "--dwell", "2")


@pytest.mark.timeout(1000)
@pytest.mark.row("A1", "A2", "A3", "A6", "A7", "A13", "A14", "C6", "C10")
def test_the_store_goes_there_and_back_under_load_and_nothing_is_lost(whole: Told) -> None:
    report = whole.report
    stalled = [text for text in report["broken_promises"] if text.startswith("a client waited")]
    assert report["broken_promises"] == stalled, whole.text
    zeros = ("failed_operations", "secrets_lost", "secrets_differing", "resurrected", "tokens_lost")
    assert {name: report[name] for name in zeros} == dict.fromkeys(zeros, 0)
    assert report["operations"] >= 2000
    assert "HashiCorp Vault 1.16" in report["store"]


@pytest.mark.timeout(1000)
@pytest.mark.row("A2", "C3")
def test_a_killed_server_comes_back_unsealed_by_itself(whole: Told) -> None:
    times = whole.report["unseal_after_kill_ms"]
    assert (len(times["8"]), len(times["9"])) == (2, 1)
    assert all(time < 30_000 for stage in times.values() for time in stage)


@pytest.mark.timeout(1000)
@pytest.mark.row("A13", "C10")
def test_every_cut_over_had_operations_in_flight(whole: Told) -> None:
    in_flight = whole.report["operations_in_flight_at_cutover"]
    assert set(in_flight) == {"stage8", "kill8", "stage9", "kill9", "back8", "back7"}
    assert all(count > 0 for count in in_flight.values())


@pytest.mark.timeout(1000)
@pytest.mark.row("C1", "C6")
def test_openbao_opens_a_copy_of_the_final_store_and_finds_the_same(whole: Told) -> None:
    witness = whole.report["openbao"]
    last = whole.report["steps"][-1]
    assert witness["version"] == "2.6.2"
    assert (witness["secrets"], witness["versions"]) == (
        last["secrets_compared"],
        last["versions_compared"],
    )
    assert last["findings"] == 0


@pytest.mark.timeout(1000)
def test_no_secret_lies_about_and_the_planted_ones_were_found(whole: Told) -> None:
    leaks = whole.report["leaks"]
    assert (leaks["leaks"], leaks["wide_inputs"], leaks["canaries_missed"]) == ([], [], [])
    assert min(leaks["files"], leaks["archive_members"], leaks["processes"]) > 0
    assert leaks["secrets"] > 12


@pytest.mark.timeout(1000)
def test_the_report_is_a_picture_of_every_operation(whole: Told) -> None:
    assert whole.page.count("h0") >= whole.report["operations"]
    assert "<script" not in whole.page


@pytest.mark.timeout(1000)
@pytest.mark.parametrize(
    "damage",
    [
        {"drop": "holds a store that is not whole"},
        {
            "alter": "secret differing: legacy app0/xwzsi",
            "resurrect": "resurrected: token Bv5JnYXPj8oRKOkyBXLNJT2b",
        },
    ],
    ids=["drop", "alter-and-resurrect"],
)
def test_damage_behind_the_tools_back_fails_the_demo_and_is_named(
    damage: dict[str, str], tmp_path: Path
) -> None:
    kinds = [word for kind in damage for word in ("--sabotage", kind)]
    told = run_demo(tmp_path, *kinds, "--until", "back8", "--dwell", "0.5")
    assert told.code == 1
    for said in damage.values():
        assert said in "\n".join(told.report["broken_promises"])
        assert said in told.text
