"""The outside world on loopback: goszakup and Telegram's Bot API, as stand-ins.

What lives here: a server that answers like theirs, notes what it was asked and misbehaves on
demand. What never does: a decision of a service.
Invariant: a message counts as delivered when the server took it, whether or not its answer arrived.

``python -m launcher.outside --port N --token-file F --bot-token-file F`` serves until SIGTERM. A
process is directed by POST: ``/stand-in/acts`` takes a list like ``["500", "cut", "garbage"]`` for
the next requests, one each; ``/stand-in/rnu/BIN`` the registry's answer for a BIN.
"""

import argparse
import contextlib
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from launcher import goszakup
from launcher.goszakup import Records

_RNU = re.compile(r"/v3/rnu/([0-9]{12})")
_PLAY = re.compile(r"/stand-in/(acts|rnu/[0-9]{12})")
_SEND = re.compile(r"/bot([^/]+)/sendMessage")
_LONGEST_HANG_SECONDS = 60.0


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Act = Callable[["_Handler"], None]
"""What happens to one request instead of the ordinary answer."""


def status(code: int, body: bytes = b"", **headers: str) -> Act:
    """Answer with this; ``Retry_After="3"`` names a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.answer(code, body, named)


def garbage(handler: "_Handler") -> None:
    """Bytes that are no HTTP."""
    handler.wfile.write(b"\x00\x01 what?\r\n\r\n")
    handler.close_connection = True


def cut(handler: "_Handler") -> None:
    """Hang up without a word."""
    with contextlib.suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def hang(handler: "_Handler") -> None:
    """Stay silent until the server ends or is told to go on."""
    handler.server.go_on.wait(_LONGEST_HANG_SECONDS)
    cut(handler)


def then(ending: Act) -> Act:
    """Do what was asked, but let the asker see ``ending`` instead of the answer."""

    def act(handler: "_Handler") -> None:
        handler.ordinary()
        ending(handler)

    return act


def act_named(name: str) -> Act:
    """What a name asks for: a status, or one of the misbehaviours. Raises KeyError."""
    acts: dict[str, Act] = {"cut": cut, "garbage": garbage, "hang": hang}
    return status(int(name)) if name.isdecimal() else acts[name]


@dataclass
class World:
    """What the stand-ins know and have seen."""

    goszakup_token: str
    bot_token: str
    rnu: dict[str, Any] = field(default_factory=dict)
    """BIN → the JSON of the registry's answer; a BIN that is not here is answered with 404."""
    records: Records = field(default_factory=dict)
    """What GraphQL gives, by its root field."""
    requests_per_second: int | None = None
    """Of GraphQL; above it: 429."""
    absent_chats: set[int] = field(default_factory=set)
    """Chats that blocked the bot."""
    asked: list[Asked] = field(default_factory=list)
    delivered: list[tuple[int, str]] = field(default_factory=list)
    """(chat, text) of every message that Telegram took."""
    acts: deque[Act] = field(default_factory=deque)
    """For the next requests, one each."""

    def asked_for(self, part: str) -> list[Asked]:
        """The requests whose path holds ``part``."""
        return [one for one in self.asked if part in one.path]


class Outside(ThreadingHTTPServer):
    """Serves a ``World`` on loopback."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, world: World, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.world = world
        self.lock = threading.Lock()
        self.go_on = threading.Event()
        self.graphql_asked: list[float] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is none of our business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Outside

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        world = self.server.world
        if found := _PLAY.fullmatch(self.path):
            self._direct(found[1], json.loads(body))
            return
        with self.server.lock:
            self.asked = Asked(self.command, self.path, dict(self.headers.items()), body)
            world.asked.append(self.asked)
            act = world.acts.popleft() if world.acts else None
        if act is not None:
            act(self)
        else:
            self.answer(*self.ordinary())

    do_GET = do_POST = handle_request  # noqa: N815

    def _direct(self, what: str, told: Any) -> None:
        """The director speaks, not a service: what the next requests meet, what is known."""
        with self.server.lock:
            if what == "acts":
                self.server.world.acts.extend(map(act_named, told))
            else:
                self.server.world.rnu[what.removeprefix("rnu/")] = told
        self.answer(200, b"{}")

    def ordinary(self) -> tuple[int, bytes] | tuple[int, bytes, dict[str, str]]:
        """Do what is asked; the answer to it."""
        if found := _RNU.fullmatch(self.path):
            code, content = self._registry(found[1])
        elif self.path == goszakup.PATH:
            return self._graphql()
        elif found := _SEND.fullmatch(self.path):
            code, content = self._telegram(found[1])
        else:
            code, content = 404, {"message": "no such path"}
        return code, json.dumps(content).encode()

    def _registry(self, number: str) -> tuple[int, Any]:
        world = self.server.world
        if not self._knows_token():
            return 401, {"message": "Unauthorized"}
        if number not in world.rnu:
            return 404, {"message": "Запись не найдена"}
        return 200, world.rnu[number]

    def _graphql(self) -> tuple[int, bytes, dict[str, str]]:
        world, now = self.server.world, time.monotonic()
        if not self._knows_token():
            return 401, b'{"message": "Unauthorized"}', {}
        with self.server.lock:
            recent = [moment for moment in self.server.graphql_asked if now - moment < 1]
            limited = world.requests_per_second is not None
            if limited and len(recent) >= (world.requests_per_second or 0):
                return 429, b'{"message": "Too Many Requests"}', {"Retry-After": "1"}
            self.server.graphql_asked = [*recent, now]
        content = goszakup.answer(world.records, self.asked.body)
        return 200, json.dumps(content, ensure_ascii=False).encode(), {}

    def _knows_token(self) -> bool:
        wanted = f"Bearer {self.server.world.goszakup_token}"
        return self.headers.get("Authorization") == wanted

    def _telegram(self, token: str) -> tuple[int, dict[str, Any]]:
        world = self.server.world
        if token != world.bot_token:
            return 401, {"ok": False, "error_code": 401, "description": "Unauthorized"}
        told = json.loads(self.asked.body)
        chat = int(told["chat_id"])
        if chat in world.absent_chats:
            description = "Forbidden: bot was blocked by the user"
            return 403, {"ok": False, "error_code": 403, "description": description}
        with self.server.lock:
            world.delivered.append((chat, told["text"]))
            number = len(world.delivered)
        result = {"message_id": number, "date": 1, "chat": {"id": chat, "type": "private"}}
        return 200, {"ok": True, "result": {**result, "text": told["text"]}}

    def answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send it."""
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextmanager
def outside(world: World, port: int = 0) -> Iterator[Outside]:
    """Serve in threads until the end of the block."""
    server = Outside(world, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m launcher.outside")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token-file", type=Path, required=True, help="goszakup's bearer token")
    parser.add_argument("--bot-token-file", type=Path, required=True)
    told = parser.parse_args()
    world = World(told.token_file.read_text().strip(), told.bot_token_file.read_text().strip())
    world.records = goszakup.examples(datetime.now(UTC))
    world.requests_per_second = 20
    Outside(world, told.port).serve_forever()


if __name__ == "__main__":
    main()
