"""What a real Vault answered to 534 requests in order, asked of the engine over HTTP.

The answers of a third of the requests were not recorded; those only set the scene. Differences are
listed, each with its reason, in ``transcripts/differences.toml``.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine_server import start_server
from tests.support.transcript import BEFORE_INIT, Player

PLACE = Path(__file__).parent / "transcripts"
STEPS: list[dict[str, Any]] = json.loads((PLACE / "vault-api.json").read_text())["steps"]
LISTED: list[dict[str, Any]] = tomllib.loads((PLACE / "differences.toml").read_text())["difference"]
MOST_DIFFERENCES = 10
RECORDED = 331
NO_CONTENT = 204


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str | None, Any]]:
    server = start_server(tmp_path_factory.mktemp("transcript"))
    try:
        player = Player(server.address)
        found = [player.play(step) for step in STEPS if step["area"] == BEFORE_INIT]
        player.open()
        found += [player.play(step) for step in STEPS if step["area"] != BEFORE_INIT]
    finally:
        code = server.stop()
    assert code == 0
    assert "internal error" not in server.log
    return found


def differences(answers: list[tuple[int, str | None, Any]]) -> dict[int, str]:
    """Step → what was answered and what Vault answered."""
    found = {}
    for number, (step, (status, _, answer)) in enumerate(zip(STEPS, answers, strict=True)):
        if "status" in step and (status, answer) != (step["status"], step["answer"]):
            name = f"{number}: {step['method']} {step['path']} {step['body']}"
            theirs = f"{step['status']} {json.dumps(step['answer'], sort_keys=True)}"
            ours = f"{status} {json.dumps(answer, sort_keys=True)}"
            found[number] = f"{name}\n  Vault: {theirs}\n  ours:  {ours}"
    return found


def test_every_recorded_answer_is_ours_but_the_listed(
    answers: list[tuple[int, str | None, Any]],
) -> None:
    found = differences(answers)
    listed = {entry["step"] for entry in LISTED}
    assert not found.keys() - listed, "\n".join(found[step] for step in found.keys() - listed)
    assert not listed - found.keys(), "listed, and no longer different"


def test_a_listed_difference_has_a_reason_and_keeps_the_status(
    answers: list[tuple[int, str | None, Any]],
) -> None:
    assert len(LISTED) == len({entry["step"] for entry in LISTED}) <= MOST_DIFFERENCES
    for entry in LISTED:
        step = STEPS[entry["step"]]
        assert entry["request"] == f"{step['method']} {step['path']}"
        assert len(entry["reason"]) >= len("As step 188.")
        assert answers[entry["step"]][0] == entry.get("status", step["status"]), entry["step"]


def test_what_is_answered_has_vaults_content_type(
    answers: list[tuple[int, str | None, Any]],
) -> None:
    """Vault also names one for no content, where there is nothing to have a type."""
    for step, (status, kind, _) in zip(STEPS, answers, strict=True):
        if "status" in step and status == step["status"] != NO_CONTENT:
            assert kind == step["type"], f"{step['method']} {step['path']}"


def test_nothing_recorded_is_left_out() -> None:
    assert len(STEPS) == 534
    assert sum("status" in step for step in STEPS) == RECORDED
