"""The two servers, asked alike; what an earlier answer gave one of them goes back to that one.

What lives here: starting both, one request to both, and the normal form of the answers. What never
does: which differences are accepted (``accepted.py``).
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import RemoteDisconnected
from pathlib import Path
from typing import Any

from launcher.ports import free_port
from tests.support.engine_server import EngineServer, start_server
from tests.support.openbao import OpenBao
from tests.support.real import require
from tests.support.transcript import Player

NO_CONTENT = 204
BROKE_OFF = 0
"""OpenBao's handler panicked and it closed the connection; it goes on serving."""
LONG = 'max_lease_ttl = "87600h"'
MERGE = {"Content-Type": "application/merge-patch+json"}
NOISE = [
    (re.compile(r"(https?://)?127\.0\.0\.1:\d+"), "<addr>"),
    (re.compile(r"\b(hv)?[bs]\.[\w.-]{20,}"), "<token>"),
    (re.compile(r"\b[0-9a-f]{40,}\b"), "<hex>"),
    (re.compile(r"^(?=.{22,})[A-Za-z0-9+/]+=*$"), "<base64>"),
    (re.compile(r'"client_id": "\w{26}"'), '"client_id": "<client>"'),
    (re.compile(r"^[\w-]+\.[\w-]+\.[\w-]+$"), "<jwt>"),
    (re.compile(r"([0-9a-f]{2}:){15,}[0-9a-f]{2}"), "<serial>"),
]


@dataclass(frozen=True)
class Call:
    """One request; ``token`` is a name of an earlier capture, None sends none."""

    method: str
    path: str
    body: Any = None
    token: str | None = "root"
    headers: tuple[tuple[str, str], ...] = ()
    raw: str | None = None
    capture: tuple[tuple[str, str], ...] = ()
    generated: bool = False

    @property
    def name(self) -> str:
        """For lists of differences and for the patterns of accepted ones."""
        told = "" if self.token == "root" else f" as {self.token}"
        return f"{self.method} {self.path}{told}"

    @property
    def shape(self) -> str:
        """What makes requests different: verb, path, names and kinds of what is sent."""
        sent = self.body if isinstance(self.body, dict) else {}
        kinds = sorted(f"{key}={type(value).__name__}" for key, value in sent.items())
        bare = re.sub(r"\d+", "N", self.path)
        return " ".join([self.method, bare, str(self.token), self.raw or "", *kinds])

    @classmethod
    def of(cls, listed: tuple[Any, ...]) -> "Call":
        """From the (method, path, body[, capture]) of the lists of other tests."""
        method, path, body, *more = listed
        headers = tuple(MERGE.items()) if method == "PATCH" else ()
        return cls(
            method, path, body, headers=headers, capture=tuple(more[0].items()) if more else ()
        )


Answer = tuple[int, Any]


@dataclass
class Pair:
    """Ours and theirs."""

    ours: Player
    theirs: Player
    shapes: set[str] = field(default_factory=set)

    def ask(self, call: Call) -> tuple[Answer, Answer]:
        """The two answers, in normal form."""
        self.shapes.add(call.shape)
        ours = self._one(self.ours, call)
        try:
            return ours, self._one(self.theirs, call)
        except RemoteDisconnected:
            return ours, (BROKE_OFF, None)

    def set_up(self, *calls: Call) -> None:
        """Requests that both must take."""
        for call in calls:
            answers = self.ask(call)
            assert [status for status, _ in answers] in ([200, 200], [204, 204]), (call, answers)

    @staticmethod
    def _one(player: Player, call: Call) -> Answer:
        step = {
            "method": call.method,
            "path": call.path,
            "body": call.body,
            "token": call.token,
            "headers": dict(call.headers),
            "raw": call.raw,
            "capture": dict(call.capture),
        }
        status, _, found = player.play(step)
        return status, None if status == NO_CONTENT else quiet(found)


def quiet(value: Any) -> Any:
    """What ``normal`` leaves that still differs from run to run."""
    if isinstance(value, dict):
        return {key: quiet(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [quiet(inner) for inner in value]
    if isinstance(value, str):
        for pattern, name in NOISE:
            value = pattern.sub(name, value)
    return value


@contextmanager
def fresh_pair(root: Path, *, is_open: bool = True) -> Iterator[Pair]:
    """Two new servers on file stores, 3 of 5, unsealed unless told otherwise."""
    require("openbao-2.6.2")
    home = root / "openbao"
    (home / "data").mkdir(parents=True)
    bao = OpenBao(home, home / "data", free_port())
    bao.start()
    engine: EngineServer | None = None
    try:
        engine = start_server(root / "engine", 'storage "file" { path = "data" }', extra=LONG)
        pair = Pair(Player(engine.address), Player(bao.address))
        if is_open:
            pair.ours.open()
            pair.theirs.open()
        yield pair
        assert "internal error" not in engine.log, engine.log
    finally:
        bao.stop()
        if engine is not None:
            engine.stop()


def shown(call: Call, ours: Answer, theirs: Answer) -> str:
    """A difference, for people; only the fields that differ."""
    mine, other = ours[1], theirs[1]
    if isinstance(mine, dict) and isinstance(other, dict):
        names = [key for key in {**mine, **other} if mine.get(key, ...) != other.get(key, ...)]
        mine = {key: mine[key] for key in names if key in mine}
        other = {key: other[key] for key in names if key in other}
    sent = call.raw or json.dumps(call.body)
    return (
        f"{call.name} {sent[:300]}\n"
        f"  ours   {ours[0]} {json.dumps(mine)[:700]}\n"
        f"  theirs {theirs[0]} {json.dumps(other)[:700]}"
    )
