"""Backends answer the recorded requests as a real Vault did.

No HTTP and no core: the test plays their part (mounting, tokens of logins, the check of PATCH's
content type), so every difference is the backend's. Steps whose answer was not recorded only set
the scene.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tests.support.opened import ROOT, context_for, fresh_barrier, request
from zvault.barrier.barrier import Barrier
from zvault.base.clock import SystemClock
from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Backend, Operation, Response
from zvault.engine.backends import approle, cubbyhole, kv1, kv2
from zvault.engine.errors import EngineError, InvalidRequestError
from zvault.records import gojson
from zvault.records.mounts import AUTH, MOUNTS, MountEntry
from zvault.records.tokens import TokenEntry
from zvault.server.envelope import answer_for
from zvault.server.errors import status_of

TRANSCRIPT = Path(__file__).parent / "transcripts" / "kv-approle-cubbyhole.json"
SHORT = TokenEntry(id="hvs.t1", accessor="a", policies=("app",), cubbyhole_id="other-drawer")
LIMITS_NS = {"kv1/": 600 * SECOND_NS, "auth/approle/": 360_000 * SECOND_NS}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
VOLATILE = {"request_id", "creation_time"}
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
VALUE_FREE = re.compile(r"^(Field validation failed: )?error converting input")
"""Vault repeats the value in these; we never do, because values are secrets."""


def normal(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {
            k: "<v>" if k in VOLATILE and v not in ("", None) else normal(v, k)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [normal(item, key) for item in value]
    if isinstance(value, str):
        return UUID.sub("<uuid>", TIME.sub("<time>", value))
    if key == "lease_duration" and isinstance(value, int) and value > 10:
        return f"~{round(value / 60)}m"
    return value


class Stage:
    """The mounts of the transcript."""

    def __init__(self) -> None:
        self.backends: dict[str, Backend] = {}
        self.captured: dict[str, str] = {}

    async def mount(
        self, barrier: Barrier, path: str, kind: str, make: Callable[..., Any], version: str = ""
    ) -> None:
        is_auth = path.startswith("auth/")
        entry = MountEntry(
            path=path.removeprefix("auth/"),
            type=kind,
            table=AUTH if is_auth else MOUNTS,
            uuid=f"uuid-{kind}-{version}",
            backend_aware_uuid="9b2cf9ab-0000-1111-2222-333333333333",
            options={"version": version} if version else {},
        )
        limit = LIMITS_NS.get(path, 2_764_800 * SECOND_NS)
        backend = make(
            context_for(barrier, entry, SystemClock(), default_ttl_ns=limit, max_ttl_ns=limit)
        )
        if kind != "approle":
            await backend.start()
        self.backends[path] = backend

    def fill(self, value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(r"\{(\w+)\}", lambda m: self.captured.get(m[1], m[0]), value)
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return value

    async def play(self, step: dict[str, Any]) -> tuple[int, Any]:
        path, _, query = step["path"].partition("?")
        asked = {key: values[0] for key, values in parse_qs(query).items()}
        operation = {
            "GET": Operation.READ,
            "LIST": Operation.LIST,
            "DELETE": Operation.DELETE,
            "PATCH": Operation.PATCH,
        }.get(step["method"], Operation.UPDATE)
        if asked.pop("list", "") == "true":
            operation = Operation.LIST
        if operation is Operation.LIST and not path.endswith("/"):
            path += "/"
        prefix = next((p for p in self.backends if (path + "/").startswith(p)), "")
        body = gojson.loads_object(json.dumps(self.fill(step["body"] or {})))
        made = request(
            operation,
            path[len(prefix) :],
            {**asked, **body},
            token={"t1": SHORT, "root": ROOT}.get(step["token"] or ""),
            remote_address="127.0.0.1",
        )
        made.path = path
        try:
            response = await self.serve(made, self.backends[prefix], step)
        except EngineError as error:
            return status_of(error), {"errors": error.messages}
        answer = answer_for(made.id, operation, path, response)
        return answer.status, json.loads(answer.body) if answer.body else None

    async def serve(self, made: Any, backend: Backend, step: dict[str, Any]) -> Response | None:
        if made.operation is Operation.UPDATE and made.path.endswith("/"):
            raise InvalidRequestError("cannot write to a path ending in '/'")
        if made.operation is Operation.PATCH and "Content-Type" not in step.get("headers", {}):
            raise InvalidRequestError("mime: no media type")
        return await backend.handle(made)


def expected(step: dict[str, Any]) -> tuple[int, Any]:
    answer = step["answer"]
    if isinstance(answer, dict) and "errors" in answer:
        answer = {"errors": [MEANT.get(text, text) for text in answer["errors"]]}
    return step["status"], answer


def is_same(ours: tuple[int, Any], theirs: tuple[int, Any]) -> bool:
    if ours == theirs:
        return True
    if ours[0] != theirs[0]:
        return False
    texts = [str((answer or {}).get("errors", [""])[0]) for _, answer in (ours, theirs)]
    return all(VALUE_FREE.match(text) for text in texts)


def without_token(answer: Any) -> Any:
    """What the core adds to a login is not the backend's."""
    if isinstance(answer, dict) and isinstance(answer.get("auth"), dict):
        kept = ("metadata", "renewable", "orphan")
        auth = {key: answer["auth"][key] for key in kept}
        return {**answer, "auth": auth, "warnings": None}
    return answer


async def test_every_recorded_answer_is_ours_too() -> None:
    stage, barrier = Stage(), await fresh_barrier()
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
