"""Backends answer the recorded requests as a real Vault did.

No HTTP and no core: the test plays their part (mounting, tokens of logins, the check of PATCH's
content type), so every difference is the backend's. Steps whose answer was not recorded only set
the scene.
"""

import json
from pathlib import Path
from typing import Any

from tests.support.backend_stage import Stage, is_same, normal, without_token
from tests.support.opened import fresh_barrier
from zvault.base.gotime import SECOND_NS
from zvault.engine.backends import cubbyhole
from zvault.engine.backends.approle import backend as approle
from zvault.engine.backends.kv import v1 as kv1
from zvault.engine.backends.kv import v2 as kv2

TRANSCRIPT = Path(__file__).parent / "transcripts" / "kv-approle-cubbyhole.json"
LIMITS_NS = {"kv1/": 600 * SECOND_NS, "auth/approle/": 360_000 * SECOND_NS}
MEANT = {
    "invalid secret id": "invalid role or secret ID",
    "invalid role ID": "invalid role or secret ID",
}
"""Answers of that snapshot which later Vaults (and we) give differently, on purpose."""
NOT_OURS = {
    ("HEAD", "kv1/d/e"): "HTTP",
    ("GET", "kv1/../sys/mounts"): "HTTP",
    ("GET", "kv1//d//e"): "HTTP",
    ("GET", "kv2/data/app/deny"): "access control",
    ("GET", "kv2/data/other"): "access control",
    ("LIST", "kv2/metadata/app"): "access control",
}


def expected(step: dict[str, Any]) -> tuple[int, Any]:
    answer = step["answer"]
    if isinstance(answer, dict) and "errors" in answer:
        answer = {"errors": [MEANT.get(text, text) for text in answer["errors"]]}
    return step["status"], answer


async def test_every_recorded_answer_is_ours_too() -> None:
    stage, barrier = Stage(LIMITS_NS), await fresh_barrier()
    await stage.mount(barrier, "kv1/", "kv", kv1.make)
    await stage.mount(barrier, "kv2/", "kv", kv2.make, "2")
    await stage.mount(barrier, "cubbyhole/", "cubbyhole", cubbyhole.make)
    await stage.mount(barrier, "auth/approle/", "approle", approle.make)
    differences, compared = [], 0
    for step in json.loads(TRANSCRIPT.read_text())["steps"]:
        if (step["method"], step["path"]) in NOT_OURS or step["token"] == "at":
            continue
        if step["path"] == "kv2/data/app/x" and step["token"] is None:
            continue
        status, answer = await stage.play(step)
        for name, where in step.get("capture", {}).items():
            value: Any = answer
            for part in where.split("."):
                value = (value or {}).get(part)
            stage.captured[name] = str(value)
        if "status" not in step:
            continue
        compared += 1
        ours = status, without_token(normal(answer))
        wanted = expected(step)
        theirs = wanted[0], without_token(wanted[1])
        if not is_same(ours, theirs):
            differences.append((step["method"], step["path"], step["body"], ours, theirs))
    assert not differences
    assert compared >= 100
