"""``make services-smoke``: it holds on a fresh machine, again, on a used folder; and it can fail.

Every sabotage below makes exactly the check fail that is about it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from launcher.estate import Estate
from launcher.roster import SERVICES
from tests.support.estate import estate_at, launcher, secret_texts
from tests.support.real import require

pytestmark = [pytest.mark.row("B4", "B6", "B7", "B8.1", "B8.2", "B8.4"), pytest.mark.timeout(900)]
METRICS = ("anti_dumping_ratio", "goszakup_errors_total")


@dataclass(frozen=True)
class Told:
    """What one smoke said; ``text`` is all of it."""

    code: int
    report: dict[str, Any]
    text: str

    def names(self, state: str) -> set[str]:
        return {one["check"] for one in self.report["checks"] if one["state"] == state}


def smoke(work: Path, **environment: str) -> Told:
    done = launcher(work, "smoke", "--json", **environment)
    assert done.stdout, done.stderr
    return Told(done.returncode, json.loads(done.stdout), done.stdout + done.stderr)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    require("caddy")
    folder = tmp_path_factory.mktemp("smoke") / "services"
    try:
        up = launcher(folder, "up")
        assert up.returncode == 0, up.stderr
        yield folder
    finally:
        launcher(folder, "down")


@pytest.fixture
def estate(work: Path) -> Iterator[Estate]:
    """Everything runs again after the test, with what Vault holds."""
    estate = estate_at(work)
    yield estate
    assert launcher(work, "up").returncode == 0


def test_it_holds_twice_in_a_row_and_on_a_used_folder(work: Path) -> None:
    require("prometheus")
    for again in range(3):
        if again == 2:
            assert launcher(work, "down").returncode == 0
            assert launcher(work, "up").returncode == 0
        told = smoke(work)
        assert told.report["passed"], told.text
        assert (told.code, told.report["skipped"]) == (0, [])
        assert told.names("passed") >= {f"{one.name}: ready" for one in SERVICES}
        assert told.names("passed") >= {f"Prometheus: {name}" for name in METRICS}
    hidden = secret_texts(estate_at(work))
    assert not [text for text in hidden if text in told.text]
    assert not estate_at(work).programs.running("prometheus")


def test_without_prometheus_its_checks_are_skipped_by_name(work: Path) -> None:
    told = smoke(work, PATH="")
    assert told.code == 0, told.text
    assert told.names("skipped") == {f"Prometheus: {name}" for name in METRICS}
    assert "prometheus is not installed" in told.text


def test_a_service_that_does_not_run_fails_it_by_name(estate: Estate) -> None:
    estate.programs.stop("calc")
    told = smoke(estate.place.work)
    assert told.code == 1
    failed = told.names("failed")
    assert {"calc: ready", "calc with a JWT: row in PostgreSQL"} <= failed
    assert all("calc" in name or name.startswith("gateway: nobody") for name in failed)


def test_a_password_that_is_not_the_one_in_vault_fails_it_by_name(estate: Estate) -> None:
    estate.postgres.give_database("calc", "another-password-in-force")
    told = smoke(estate.place.work)
    assert told.code == 1
    assert "calc: PostgreSQL wants Vault's password" in told.names("failed")


def test_a_ratio_that_the_evaluations_do_not_give_fails_it_by_name(estate: Estate) -> None:
    """The metric counts ``lots``; the smoke counts the evaluations and its own requests."""
    assert smoke(estate.place.work, PATH="").code == 0  # there are lots now
    blame = "UPDATE lots SET violation = true WHERE NOT violation RETURNING id"
    with estate.postgres.connect("risk-engine") as connection:
        blamed = [row[0] for row in connection.execute(blame).fetchall()]
    assert blamed
    try:
        told = smoke(estate.place.work, PATH="")
    finally:
        with estate.postgres.connect("risk-engine") as connection:
            connection.execute("UPDATE lots SET violation = false WHERE id = ANY(%s)", (blamed,))
    assert told.code == 1
    wanted = {"metrics: known before the requests", f"risk-engine's metrics port: {METRICS[0]}"}
    assert told.names("failed") == wanted
