"""Backends behind just enough of a server to play recorded or live requests at them.

No HTTP and no core: mounting, the create-or-update question, PATCH's content type and the envelope
are played here, so every difference that shows is the backend's.
"""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from tests.support.opened import ROOT, context_for, request
from zvault.barrier.barrier import Barrier
from zvault.base.clock import SystemClock
from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Backend, Operation, Response
from zvault.engine.errors import EngineError, InvalidRequestError
from zvault.records import gojson
from zvault.records.mounts import AUTH, MOUNTS, MountEntry
from zvault.records.tokens import TokenEntry
from zvault.server.envelope import answer_for
from zvault.server.errors import status_of

SHORT = TokenEntry(id="hvs.t1", accessor="a", policies=("app",), cubbyhole_id="other-drawer")
MONTH_NS = 2_764_800 * SECOND_NS
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
VOLATILE = {"request_id", "creation_time"}
VALUE_FREE = re.compile(r"^(Field validation failed: )?error converting input")
"""Servers repeat the value, or say what it was, in these; we never do: values are secrets."""


def normal(value: Any, key: str = "") -> Any:
    """An answer without what differs from run to run."""
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


def without_token(answer: Any) -> Any:
    """What the core adds to a login is not the backend's."""
    if isinstance(answer, dict) and isinstance(answer.get("auth"), dict):
        kept = ("metadata", "renewable", "orphan")
        auth = {key: answer["auth"][key] for key in kept}
        return {**answer, "auth": auth, "warnings": None}
    return answer


def is_same(ours: tuple[int, Any], theirs: tuple[int, Any]) -> bool:
    """Equal, or both the refusal of a field's value."""
    if ours == theirs:
        return True
    if ours[0] != theirs[0]:
        return False
    texts = [str((answer or {}).get("errors", [""])[0]) for _, answer in (ours, theirs)]
    return all(VALUE_FREE.match(text) for text in texts)


class Stage:
    """Some mounts; ``limits_ns`` gives the TTL limits of those that do not have the default."""

    def __init__(self, limits_ns: dict[str, int] | None = None) -> None:
        self.limits_ns = limits_ns or {}
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
        limit = self.limits_ns.get(path, MONTH_NS)
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
