"""Damage behind the tool's back makes the demo fail, and it says what."""

from pathlib import Path

import pytest

from tests.support.demo_run import run_demo

pytestmark = pytest.mark.timeout(1800)


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
