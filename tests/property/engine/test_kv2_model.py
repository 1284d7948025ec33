"""KV version 2 against a slow model in plain dicts: any run of operations, any clock.

The model keeps every version for ever and works out what may be seen from the written rules; the
backend runs on the real barrier. A second backend on the same store, started after every run,
must see the same: nothing lives in memory only.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.opened import context_for, fresh_barrier, request
from zvault.base.clock import ManualClock
from zvault.engine.api import Response
from zvault.engine.backends.kv import v2 as kv2
from zvault.engine.errors import EngineError, InvalidRequestError
from zvault.records.mounts import MountEntry

PATHS = ("a", "a/b", "ключ/ü")
SECOND = 1_000_000_000


@dataclass
class ModelVersion:
    data: dict[str, Any]
    deleted_at: int | None
    destroyed: bool = False


@dataclass
class ModelSecret:
    versions: dict[int, ModelVersion] = field(default_factory=dict)
    current: int = 0
    oldest: int = 0
    max_versions: int = 0
    cas_required: bool = False
    delete_after: int = 0
    custom: dict[str, str] = field(default_factory=dict)


class Refused(Exception):  # noqa: N818 (a verdict, not a fault)
    pass


class Model:
    """The rules, straight from their text."""

    def __init__(self) -> None:
        self.secrets: dict[str, ModelSecret] = {}
        self.max_versions = 0
        self.cas_required = False
        self.delete_after = 0

    def delay(self, secret: ModelSecret) -> int:
        if self.delete_after < 0:
            return 0
        both = [value for value in (self.delete_after, secret.delete_after) if value]
        return min(both, default=0)

    def write(self, path: str, data: dict[str, Any], cas: int | None, now: int) -> int:
        secret = self.secrets.get(path, ModelSecret())
        if cas is None and (secret.cas_required or self.cas_required):
            raise Refused
        if cas is not None and cas != secret.current:
            raise Refused
        delay = self.delay(secret)
        secret.current += 1
        deleted_at = now + delay if delay else None
        secret.versions[secret.current] = ModelVersion(dict(data), deleted_at)
        keep = max(self.max_versions, secret.max_versions) or 10
        if secret.current - secret.oldest >= keep:
            cut = secret.current - keep
            secret.versions = {n: v for n, v in secret.versions.items() if n > cut}
            secret.oldest = cut + 1
        self.secrets[path] = secret
        return secret.current

    def state(self, path: str, number: int, now: int) -> tuple[str, dict[str, Any] | None]:
        secret = self.secrets.get(path)
        if secret is None:
            return "absent", None
        version = secret.versions.get(number or secret.current)
        if version is None:
            return "absent", None
        if version.destroyed or (version.deleted_at is not None and version.deleted_at <= now):
            return "gone", None
        return "readable", version.data

    def patch(self, path: str, data: dict[str, Any], cas: int | None, now: int) -> str:
        secret = self.secrets.get(path)
        if secret is None:
            return "absent"
        if cas is None and (secret.cas_required or self.cas_required):
            raise Refused
        if cas is not None and cas != secret.current:
            raise Refused
        state, current = self.state(path, 0, now)
        if state != "readable" or current is None:
            return state
        kept = {k: v for k, v in current.items() if k not in data}
        new = {k: v for k, v in data.items() if v is not None}
        self.write(path, {**kept, **new}, secret.current, now)
        return "readable"

    def change(self, what: str, path: str, numbers: list[int], now: int) -> None:
        secret = self.secrets.get(path)
        if secret is None:
            return
        for number in numbers:
            version = secret.versions.get(number)
            if version is None:
                continue
            if what == "destroy":
                version.destroyed = True
            elif version.destroyed:
                continue
            elif what == "undelete":
                delay = self.delay(secret)
                version.deleted_at = now + delay if delay else None
            elif what == "delete" and (version.deleted_at is None or version.deleted_at > now):
                version.deleted_at = now


values = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(max_size=4), st.just([1, {}])
)
objects = st.dictionaries(st.sampled_from(["x", "y", "<&>"]), values, max_size=3)
cas = st.one_of(st.none(), st.integers(0, 6))
paths = st.sampled_from(PATHS)
numbers = st.lists(st.integers(1, 8), min_size=1, max_size=3)
operations = st.one_of(
    st.tuples(st.just("write"), paths, objects, cas),
    st.tuples(st.just("write"), paths, objects, st.none()),
    st.tuples(st.just("patch"), paths, objects, cas),
    st.tuples(st.sampled_from(["delete", "undelete", "destroy"]), paths, numbers),
    st.tuples(st.just("delete-latest"), paths),
    st.tuples(st.just("forget"), paths),
    st.tuples(
        st.just("metadata"),
        paths,
        st.fixed_dictionaries(
            {},
            optional={
                "max_versions": st.integers(0, 4),
                "cas_required": st.booleans(),
                "delete_version_after": st.integers(0, 5),
                "custom_metadata": st.dictionaries(st.sampled_from("ab"), st.just("v")),
            },
        ),
    ),
    st.tuples(
        st.just("config"),
        st.fixed_dictionaries(
            {},
            optional={
                "max_versions": st.integers(0, 4),
                "cas_required": st.booleans(),
                "delete_version_after": st.integers(-1, 5),
            },
        ),
    ),
    st.tuples(st.just("wait"), st.integers(1, 6)),
)


def to_model(model: Model, step: tuple[Any, ...], now: int) -> str:
    """Do a step; what the backend's answer must be: ok, refused, absent or gone."""
    kind = step[0]
    try:
        if kind == "write":
            model.write(step[1], step[2], step[3], now)
        elif kind == "patch":
            found = model.patch(step[1], step[2], step[3], now)
            return "ok" if found == "readable" else "missing"
        elif kind in ("delete", "undelete", "destroy"):
            model.change(kind, step[1], step[2], now)
        elif kind == "delete-latest":
            secret = model.secrets.get(step[1])
            model.change("delete", step[1], [secret.current] if secret else [], now)
        elif kind == "forget":
            model.secrets.pop(step[1], None)
        elif kind == "metadata":
            _metadata(model, step[1], step[2])
        elif kind == "config":
            _config(model, step[1])
    except Refused:
        return "refused"
    return "ok"


def _metadata(model: Model, path: str, fields: dict[str, Any]) -> None:
    if not fields:
        return
    secret = model.secrets.setdefault(path, ModelSecret())
    secret.max_versions = fields.get("max_versions", secret.max_versions)
    secret.cas_required = fields.get("cas_required", secret.cas_required)
    if "delete_version_after" in fields:
        secret.delete_after = fields["delete_version_after"] * SECOND
    secret.custom = fields.get("custom_metadata", secret.custom)


def _config(model: Model, fields: dict[str, Any]) -> None:
    model.max_versions = fields.get("max_versions", model.max_versions)
    model.cas_required = fields.get("cas_required", model.cas_required)
    if "delete_version_after" in fields:
        model.delete_after = fields["delete_version_after"] * SECOND


async def to_backend(backend: kv2.Kv2, step: tuple[Any, ...]) -> str:
    kind = step[0]
    made = {
        "write": lambda: request("update", f"data/{step[1]}", _body(step)),
        "patch": lambda: request("patch", f"data/{step[1]}", _body(step)),
        "delete": lambda: request("update", f"delete/{step[1]}", {"versions": step[2]}),
        "undelete": lambda: request("update", f"undelete/{step[1]}", {"versions": step[2]}),
        "destroy": lambda: request("update", f"destroy/{step[1]}", {"versions": step[2]}),
        "delete-latest": lambda: request("delete", f"data/{step[1]}"),
        "forget": lambda: request("delete", f"metadata/{step[1]}"),
        "metadata": lambda: request("update", f"metadata/{step[1]}", step[2]),
        "config": lambda: request("update", "config", step[1]),
    }[kind]()
    try:
        answer = await backend.handle(made)
    except InvalidRequestError:
        return "refused"
    return "missing" if answer is not None and answer.status == 404 else "ok"


def _body(step: tuple[Any, ...]) -> dict[str, Any]:
    return {"data": step[2], **({} if step[3] is None else {"options": {"cas": step[3]}})}


async def compare(backend: kv2.Kv2, model: Model, now: int) -> None:
    for path in PATHS:
        for number in range(12):
            state, data = model.state(path, number, now)
            answer = await backend.handle(
                request("read", f"data/{path}", {"version": number} if number else {})
            )
            assert seen(answer) == (state, data), (path, number)
        secret = model.secrets.get(path)
        shown = await backend.handle(request("read", f"metadata/{path}"))
        if secret is None:
            assert shown is None
            continue
        assert shown is not None
        assert shown.data is not None
        assert shown.data["current_version"] == secret.current
        assert shown.data["oldest_version"] == secret.oldest
        assert (shown.data["custom_metadata"] or {}) == secret.custom
        assert sorted(map(int, shown.data["versions"])) == sorted(secret.versions)
        for number, version in secret.versions.items():
            about = shown.data["versions"][str(number)]
            assert about["destroyed"] == version.destroyed
            assert bool(about["deletion_time"]) == (version.deleted_at is not None)


def seen(answer: Response | None) -> tuple[str, Any]:
    if answer is None:
        return "absent", None
    assert answer.data is not None
    return ("gone" if answer.status == 404 else "readable"), answer.data["data"]


@settings(max_examples=120, deadline=None)
@given(st.lists(operations, max_size=25))
def test_any_run_of_operations_leaves_what_the_rules_say(steps: list[tuple[Any, ...]]) -> None:
    async def run() -> None:
        clock = ManualClock()
        barrier = await fresh_barrier(clock=clock)
        entry = MountEntry(path="kv/", type="kv", uuid="u", backend_aware_uuid="b")
        backend = kv2.make(context_for(barrier, entry, clock))
        await backend.start()
        model = Model()
        for step in steps:
            if step[0] == "wait":
                clock.advance(step[1])
                continue
            clock.advance(0.001)
            wanted = to_model(model, step, clock.now_ns())
            assert await to_backend(backend, step) == wanted, step
            path = step[1] if isinstance(step[1], str) else "a"
            answer = await backend.handle(request("read", f"data/{path}"))
            assert seen(answer) == model.state(path, 0, clock.now_ns())
        await compare(backend, model, clock.now_ns())
        again = kv2.make(context_for(barrier, entry, clock))
        await again.start()
        await compare(again, model, clock.now_ns())
        clock.advance(10)
        await compare(backend, model, clock.now_ns())
        await _nothing_is_left_over(barrier, model)

    asyncio.run(run())


async def _nothing_is_left_over(barrier: Any, model: Model) -> None:
    """As many version entries in storage as versions that still have data."""
    folders = await barrier.list("logical/u/b/versions/")
    stored = [
        name for folder in folders for name in await barrier.list(f"logical/u/b/versions/{folder}")
    ]
    kept = [
        version
        for secret in model.secrets.values()
        for version in secret.versions.values()
        if not version.destroyed
    ]
    assert len(stored) == len(kept)


def test_the_model_itself_trims_as_the_format_says() -> None:
    model = Model()
    for _ in range(12):
        model.write("a", {}, None, 0)
    assert sorted(model.secrets["a"].versions) == list(range(3, 13))
    assert model.secrets["a"].oldest == 3
    assert issubclass(InvalidRequestError, EngineError)
