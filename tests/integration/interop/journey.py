"""A store goes from one server to the other and back; what each part of it met on the way.

What lives here: both servers behind one way of asking, the three visits, the collected outcome.
What never does: what a part is (``parts_*.py``).
Invariants: the same code asks both servers; a part that fails keeps no other part from its visits;
what one server shows of a part when it is left is what the next one shows when it is reached.
"""

import asyncio
import base64
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.engine_server import start_server
from tests.support.openbao import running as running_openbao
from zvault.base.clock import SystemClock
from zvault.engine.core import Core
from zvault.engine.settings import CoreSettings
from zvault.storage.file import FileStorage

ENGINE, OPENBAO = "engine", "openbao"
JOURNEYS = {
    "engine-vault": (ENGINE, "vault"),
    "engine-openbao": (ENGINE, "openbao"),
    "openbao": (OPENBAO, "openbao"),
}
"""Who made the store and serves it first and last, and the store's family."""
Ask = Callable[..., tuple[int, Any]]
Memory = dict[str, Any]


@dataclass
class Server:
    """Whoever serves the store now."""

    name: str
    ask: Ask
    root: str
    knows_endings: bool
    """Policies can be given an end: OpenBao's, and the engine's in a store of that family."""

    def status(self, method: str, path: str, body: Any = None, token: str | None = None) -> int:
        """The status of one request; ``token`` None is root."""
        return self.ask(method, path, body, self.root if token is None else token)[0]

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """The body of one request that must succeed."""
        status, answer = self.ask(method, path, body, self.root if token is None else token)
        assert status in (200, 202, 204), (self.name, method, path, status, answer)
        return answer or {}

    def write(self, path: str, token: str | None = None, /, **body: Any) -> Any:
        """POST."""
        return self.call("POST", path, body, token)

    def data(self, path: str, token: str | None = None, /, **body: Any) -> Any:
        """The data of a POST."""
        return self.write(path, token, **body)["data"]

    def read(self, path: str, token: str | None = None) -> Any:
        """The data of a GET."""
        return self.call("GET", path, None, token)["data"]

    def list(self, path: str, token: str | None = None) -> list[str]:
        """The keys of a LIST."""
        return list(self.call("GET", f"{path}?list=true", None, token)["data"]["keys"])

    def delete(self, path: str, token: str | None = None) -> None:
        """DELETE."""
        self.call("DELETE", path, None, token)

    def token(self, by: str | None = None, path: str = "create", /, **wish: Any) -> str:
        """A new token."""
        return str(self.write(f"auth/token/{path}", by, **wish)["auth"]["client_token"])

    def login(self, path: str, /, **body: Any) -> dict[str, Any]:
        """What a login grants."""
        auth: dict[str, Any] = self.write(path, "", **body)["auth"]
        return auth

    def lives(self, token: str) -> bool:
        """The token can look at itself."""
        return self.status("GET", "auth/token/lookup-self", None, token) == 200


@dataclass(frozen=True)
class Part:
    """One part of the API. Each visit gets what the one before has noted."""

    begin: Callable[[Server], Memory]
    go_on: Callable[[Server, Memory], None]
    """At the other server."""
    finish: Callable[[Server, Memory], None]
    """Back at the first."""
    shown: Callable[[Server, Memory], Any] = lambda server, memory: None
    """What both servers must show alike; asked on leaving one and on reaching the other."""


@dataclass
class Outcome:
    """What became of each part."""

    failures: dict[str, str] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    """Visits that went well."""
    _memories: dict[str, Memory] = field(default_factory=dict)
    _seen: dict[str, Any] = field(default_factory=dict)

    def visit(self, number: int, server: Server, parts: Mapping[str, Part]) -> None:
        """Let every part that is well so far do what it does at this server."""
        for name, part in parts.items():
            if name in self.failures:
                continue
            try:
                self._one(name, number, server, part)
            except Exception:
                self.failures[name] = f"visit {number} at {server.name}:\n{traceback.format_exc()}"
            else:
                self.done[name] = number

    def _one(self, name: str, number: int, server: Server, part: Part) -> None:
        if number == 1:
            self._memories[name] = part.begin(server)
        else:
            memory = self._memories[name]
            shown = _said(part.shown(server, memory))
            assert shown == self._seen[name], "\n".join(_unlike(self._seen[name], shown))
            (part.go_on if number == 2 else part.finish)(server, memory)
        if number < 3:
            self._seen[name] = _said(part.shown(server, self._memories[name]))


def _said(shown: Any) -> Any:
    """Without members that are empty: to say nothing and to leave it out are one."""
    if isinstance(shown, dict):
        kept = {key: _said(value) for key, value in shown.items()}
        return {key: value for key, value in kept.items() if value or key == "keys"}
    if isinstance(shown, list | tuple):
        return [_said(value) for value in shown]
    return shown


def _unlike(one: Any, other: Any, where: str = "shown") -> Iterator[str]:
    """The places at which two trees of JSON differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}, key=str):
            yield from _unlike(one.get(key, "absent"), other.get(key, "absent"), f"{where}.{key}")
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            yield f"{where}: {one} became {other}"
            return
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from _unlike(*pair, f"{where}[{index}]")
    elif one != other:
        yield f"{where}: {one!r} became {other!r}"


@dataclass
class Store:
    """A file store and what opens it."""

    directory: Path
    family: str
    keys: list[str] = field(default_factory=list)
    root: str = ""

    @property
    def data(self) -> Path:
        return self.directory / "data"


def travel(directory: Path, journey: str, parts: Mapping[str, Part]) -> Outcome:
    """The whole journey."""
    first, family = JOURNEYS[journey]
    second = OPENBAO if first == ENGINE else ENGINE
    store = Store(directory, family)
    store.data.mkdir(parents=True)
    if first == ENGINE:
        asyncio.run(_initialise(store))
    outcome = Outcome()
    for number, name in enumerate((first, second, first), start=1):
        with serving(name, store) as server:
            outcome.visit(number, server, parts)
    return outcome


async def _initialise(store: Store) -> None:
    core = Core(
        FileStorage.open(store.data), CoreSettings(family=store.family), clock=SystemClock()
    )
    await core.start()
    made = await core.initialize(3, 2)
    store.keys = [base64.b64encode(key.reveal()).decode() for key in made.keys]
    store.root = made.root_token.reveal_text()
    await core.shutdown()


@contextmanager
def serving(name: str, store: Store) -> Iterator[Server]:
    """The store, unsealed, behind one of the two; stopped in order at the end."""
    with _engine(store) if name == ENGINE else _openbao(store) as server:
        if not store.keys:
            body = {"secret_shares": 3, "secret_threshold": 2}
            made = server.call("PUT", "sys/init", body, "")
            store.keys, store.root = made["keys_base64"], made["root_token"]
        server.root = store.root
        for key in store.keys[:2]:
            state = server.call("PUT", "sys/unseal", {"key": key}, "")
        assert state["sealed"] is False
        for _ in range(200):
            if server.status("GET", "sys/health", None, "") == 200:
                break
        yield server


@contextmanager
def _engine(store: Store) -> Iterator[Server]:
    storage = f'storage "file" {{ path = "{store.data}" }}'
    server = start_server(store.directory / "engine", storage, extra='max_lease_ttl = "87600h"')
    try:
        yield Server(ENGINE, server.request, store.root, store.family == "openbao")
    finally:
        server.stop()


@contextmanager
def _openbao(store: Store) -> Iterator[Server]:
    with running_openbao(store.directory, store.data) as server:
        yield Server(OPENBAO, server.request, store.root, knows_endings=True)
        server.stop()
