"""The demo from outside, with the services on the store: it succeeds, with all its zeros."""

from pathlib import Path

import pytest

from launcher.roster import SERVICES
from tests.support.demo_run import Told, run_demo

pytestmark = pytest.mark.timeout(1800)
STEPS = {"services", "stage8", "kill8", "stage9", "kill9", "back8", "back7"}
MIGRATIONS = {"stage8", "stage9", "back8", "back7"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return run_demo(
        tmp_path_factory.mktemp("demo"), "--services", "--dwell", "1", timeout_seconds=1700
    )


@pytest.mark.row("A1", "A2", "A3", "A6", "A7", "A13", "A14", "C6", "C10")
def test_the_store_goes_there_and_back_under_load_and_nothing_is_lost(whole: Told) -> None:
    report = whole.report
    stalled = [text for text in report["broken_promises"] if text.startswith("a client waited")]
    assert report["broken_promises"] == stalled, whole.text
    zeros = ("failed_operations", "secrets_lost", "secrets_differing", "resurrected", "tokens_lost")
    assert {name: report[name] for name in zeros} == dict.fromkeys(zeros, 0)
    assert report["operations"] >= 2000
    assert "HashiCorp Vault 1.16" in report["store"]


@pytest.mark.row("A2", "C3")
def test_a_killed_server_comes_back_unsealed_by_itself(whole: Told) -> None:
    times = whole.report["unseal_after_kill_ms"]
    assert (len(times["8"]), len(times["9"])) == (2, 1)
    assert all(time < 30_000 for stage in times.values() for time in stage)


@pytest.mark.row("A13", "C10")
def test_every_cut_over_had_operations_in_flight(whole: Told) -> None:
    in_flight = whole.report["operations_in_flight_at_cutover"]
    assert set(in_flight) == {"stage8", "kill8", "stage9", "kill9", "back8", "back7"}
    assert all(count > 0 for count in in_flight.values())


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


def test_no_secret_lies_about_and_the_planted_ones_were_found(whole: Told) -> None:
    leaks = whole.report["leaks"]
    assert (leaks["leaks"], leaks["wide_inputs"], leaks["canaries_missed"]) == ([], [], [])
    assert min(leaks["files"], leaks["archive_members"], leaks["processes"]) > 0


def test_the_report_is_a_picture_of_every_operation(whole: Told) -> None:
    assert whole.page.count("h0") >= whole.report["operations"]
    assert "<script" not in whole.page


@pytest.mark.row("A13", "A14", "C8", "C10")
def test_no_request_fails_and_every_secret_is_read_again_after_every_step(whole: Told) -> None:
    report = whole.report
    assert set(report["services"]) == {one.name for one in SERVICES}
    for name, told in report["services"].items():
        assert (told["failed"], set(told["steps"])) == (0, STEPS), name
        assert told["requests"] >= 50
        for step, done in told["steps"].items():
            assert min(done["secrets_reread"], done["renewals"]) >= 1, (name, step)
            assert done["logins_again"] >= (1 if step in MIGRATIONS else 0), (name, step)
    assert "logins again" in whole.text
    assert "<h2>The services" in whole.page


def test_the_leak_search_knows_the_services_secrets(whole: Told) -> None:
    leaks = whole.report["leaks"]
    assert leaks["secrets"] > 12 + 3 * len(SERVICES)
    assert {"services/redis/redis.conf", "services/private/calc/secret-id"} <= set(leaks["inputs"])


@pytest.mark.soak
def test_without_the_services_it_keeps_every_promise_too(tmp_path: Path) -> None:
    told = run_demo(tmp_path)
    assert (told.code, told.report["broken_promises"]) == (0, []), told.text
