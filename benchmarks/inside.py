"""The engine in this process, asked over its HTTP protocol without a socket.

What lives here: a server with the bench's content, and one client that waits for each answer. What
never does: a clock read. Commits are made at once and without fsync, so that nothing on the way of
a request suspends, and whoever times its parts times the whole of it.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from benchmarks.scenarios import Scenario, headers, scenarios
from benchmarks.servers import POLICY, SECRETS, VALUE_BYTES, Access, BenchError
from zvault.engine.api import Operation, Request, Response
from zvault.engine.core import Core
from zvault.engine.settings import CoreSettings
from zvault.server.answers import Renderer
from zvault.server.app import App, ListenerPolicy
from zvault.server.connections import Connections
from zvault.server.protocol import HttpProtocol, Limits
from zvault.server.request_id import RequestIds
from zvault.storage.api import Operation as StoreOperation
from zvault.storage.file import DEFAULT_CACHE_BYTES, FileStorage
from zvault.storage.file_writing import LogOptions

ADDRESS = "http://127.0.0.1:8200"


class _Line(asyncio.Transport):
    """What the protocol takes for its connection; keeps the last answer."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 40_000)})
        self.answer = b""
        self.answered = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.answer = bytes(data)
        self.answered.set()

    def is_closing(self) -> bool:
        return False


@dataclass
class Client:
    """One connection."""

    protocol: HttpProtocol
    line: _Line
    requests: dict[str, list[bytes]]
    """Name of a scenario → what to send, in turns."""
    sent: int = field(default=0)

    async def ask(self, name: str) -> None:
        """One request and its answer. Raises BenchError for one that is not 2xx."""
        choice = self.requests[name]
        self.sent += 7
        self.line.answered.clear()
        self.protocol.data_received(choice[self.sent % len(choice)])
        await self.line.answered.wait()
        if self.line.answer[9:10] != b"2":
            raise BenchError(f"{name}: {self.line.answer[:80]!r}")


@asynccontextmanager
async def client_of(directory: Path) -> AsyncIterator[Client]:
    """A client of a fresh store below ``directory``, unsealed, with an audit file."""
    storage = FileStorage.open(
        directory / "data", fsync=False, log=LogOptions(), cache_bytes=DEFAULT_CACHE_BYTES
    )
    _commit_at_once(storage)
    core = Core(storage, CoreSettings())
    await core.start()
    try:
        access = await _fill(core, directory / "audit.log")
        connections = Connections()
        renderer = Renderer()
        renderer.set_date(time.time())
        app = App(core, connections, RequestIds(os.urandom), ListenerPolicy())
        protocol, line = HttpProtocol(app, connections, renderer, Limits()), _Line()
        protocol.connection_made(cast(asyncio.BaseTransport, line))
        found = {s.name: _bytes_of(s, access) for s in scenarios(access) if not s.over_tls}
        yield Client(protocol, line, found)
    finally:
        await core.shutdown()


def _commit_at_once(storage: FileStorage) -> None:
    """Without the queue, which shares a commit among those who come in one turn of the loop."""
    writer = storage._writer
    if writer is None:
        raise BenchError("the store is not open for writing")
    queue = writer.queue

    async def submit(operations: Sequence[StoreOperation]) -> None:
        (error,) = queue._committer.commit([operations])
        queue._outcome(operations, error is None)
        if error is not None:
            raise error

    queue.submit = submit  # type: ignore[method-assign]


def _bytes_of(scenario: Scenario, access: Access) -> list[bytes]:
    lines = [f"{name}: {value}" for name, value in headers(scenario, access).items()]
    if scenario.body:
        lines.append(f"Content-Length: {len(scenario.body.encode())}")
    tail = "\r\n".join([*lines, "", scenario.body])
    numbers = range(SECRETS) if "%d" in scenario.path else [0]
    paths = [scenario.path.replace("%d", str(number)) for number in numbers]
    return [f"{scenario.method} {path} HTTP/1.1\r\n{tail}".encode() for path in paths]


async def _fill(core: Core, audit_file: Path) -> Access:
    """What ``servers.py`` puts into both servers over HTTP."""
    made = await core.initialize(1, 1)
    await core.submit_share(made.keys[0].reveal())
    root = made.root_token.reveal().decode()

    async def ask(operation: Operation, path: str, **data: Any) -> Response | None:
        return await core.handle(Request("setup", operation, path, data, client_token=root))

    async def write(path: str, **data: Any) -> Response:
        return await ask(Operation.UPDATE, path, **data) or Response()

    await write("sys/audit/file", type="file", options={"file_path": str(audit_file)})
    await write("sys/mounts/kv", type="kv", options={"version": "2"})
    await write("sys/auth/approle", type="approle")
    await write("sys/policies/acl/bench", policy=POLICY)
    role = "auth/approle/role/bench"
    await write(role, token_policies=["bench"], token_ttl="1h", token_max_ttl="4h")
    for number in range(SECRETS):
        secret = {"user": f"user-{number}", "value": "v" * VALUE_BYTES}
        await write(f"kv/data/s/{number}", data=secret)
    token = await write("auth/token/create", policies=["bench"], ttl="4h")
    role_id = await ask(Operation.READ, f"{role}/role-id")
    secret_id = await write(f"{role}/secret-id")
    if token.auth is None or role_id is None or not role_id.data or not secret_id.data:
        raise BenchError(f"the store could not be filled: {json.dumps(secret_id.warnings)}")
    return Access(
        ADDRESS, token.auth.client_token, role_id.data["role_id"], secret_id.data["secret_id"]
    )
