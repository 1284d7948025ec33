"""``make demo SERVICES=1``: the services never notice; one that lost its rights makes it fail."""

from pathlib import Path

import pytest

from launcher.roster import SERVICES
from tests.acceptance.test_demo import Told, run_demo

STEPS = {"services", "stage8", "kill8", "stage9", "kill9", "back8", "back7"}
MIGRATIONS = {"stage8", "stage9", "back8", "back7"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Told:
    place = tmp_path_factory.mktemp("demo")
    return run_demo(place, "--services", "--dwell", "1", timeout_seconds=1700)


@pytest.mark.timeout(1800)
@pytest.mark.row("A13", "A14", "C8", "C10")
def test_no_request_fails_and_every_secret_is_read_again_after_every_step(whole: Told) -> None:
    report = whole.report
    stalled = [text for text in report["broken_promises"] if text.startswith("a client waited")]
    assert report["broken_promises"] == stalled, whole.text
    assert set(report["services"]) == {one.name for one in SERVICES}
    for name, told in report["services"].items():
        assert (told["failed"], set(told["steps"])) == (0, STEPS), name
        assert told["requests"] >= 50
        for step, done in told["steps"].items():
            assert min(done["secrets_reread"], done["renewals"]) >= 1, (name, step)
            assert done["logins_again"] >= (1 if step in MIGRATIONS else 0), (name, step)
    assert "logins again" in whole.text
    assert "<h2>The services" in whole.page


@pytest.mark.timeout(1800)
def test_the_leak_search_knows_the_services_secrets(whole: Told) -> None:
    leaks = whole.report["leaks"]
    assert (leaks["leaks"], leaks["wide_inputs"], leaks["canaries_missed"]) == ([], [], [])
    assert leaks["secrets"] > 12 + 3 * len(SERVICES)
    assert {"services/redis/redis.conf", "services/private/calc/secret-id"} <= set(leaks["inputs"])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("role", "calc: its token was not renewed"),
        pytest.param(
            "narrow",
            "calc: its last reading did not get all secrets",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_a_service_that_lost_its_rights_fails_the_demo_and_is_named(
    damage: str, said: str, tmp_path: Path
) -> None:
    options = ("--services", "--sabotage", damage, "--until", "stage8", "--dwell", "0.5")
    told = run_demo(tmp_path, *options, timeout_seconds=1700)
    assert told.code == 1
    assert any(said in text for text in told.report["broken_promises"]), told.text
    assert "after step stage8" in told.text
