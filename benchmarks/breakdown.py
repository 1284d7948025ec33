"""``python -m benchmarks.breakdown``: where the time of a request goes, in microseconds a part.

What lives here: timers around the parts of a request's way, put on from outside, and the tables.
What never does: another server; a ratio (``__main__.py``). No socket, no fsync, one request at a
time: each part's own time, without that of the parts inside it and without the timers' cost. Of the
rounds the quieter half counts, because a machine that does something else only ever adds.
"""

import argparse
import functools
import inspect
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import uvloop

from benchmarks.inside import Client, client_of
from zvault.barrier.barrier import Barrier
from zvault.engine.audit.broker import AuditBroker
from zvault.engine.audit.file_device import FileDevice
from zvault.engine.backends.approle.backend import AppRole
from zvault.engine.backends.kv.v2 import Kv2
from zvault.engine.backends.token.backend import TokenBackend
from zvault.engine.core import Core
from zvault.engine.identity.login import LoginService
from zvault.engine.pipeline import Pipeline
from zvault.engine.tokens.mint import Mint
from zvault.engine.tokens.service import TokenService
from zvault.server.app import App
from zvault.server.connections import Connections
from zvault.server.protocol import HttpProtocol
from zvault.storage.file import FileStorage
from zvault.storage.file_log import Log
from zvault.storage.file_tree import Tree

ROUND = 100
"""Requests between two looks."""
PARTS: dict[str, list[tuple[type, str]]] = {
    "HTTP: bytes to request, answer to bytes": [
        (HttpProtocol, "data_received"),
        (Connections, "_end_turn"),
    ],
    "HTTP: path, body, envelope": [(App, "__call__")],
    "token, route, access": [(Core, "handle"), (Pipeline, "handle")],
    "audit records": [(AuditBroker, "log_request"), (AuditBroker, "log_response")],
    "audit file": [(FileDevice, "write")],
    "backend": [
        (Kv2, "exists"),
        (Kv2, "handle"),
        (AppRole, "handle"),
        (TokenBackend, "exists"),
        (TokenBackend, "handle"),
    ],
    "token made": [(LoginService, "complete"), (TokenService, "issue_alike")],
    "token's entries encoded": [(Mint, "strike")],
    "entries encrypted": [(Barrier, "apply")],
    "storage: checks, cache, queue": [(FileStorage, "get"), (FileStorage, "apply")],
    "log": [(Log, "append")],
    "room in the tree": [(Tree, "make_room")],
    "files made and removed": [(Tree, "do"), (Tree, "remove")],
}


class Timers:
    """Own time by part."""

    def __init__(self) -> None:
        self.own_ns: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._inside: list[int] = []
        """Of each part that has begun, the time its inner parts took."""

    def put_on(self) -> None:
        """Around every part, for the rest of the process."""
        for part, places in PARTS.items():
            for owner, name in places:
                setattr(owner, name, self._timed(part, getattr(owner, name)))

    def _timed(self, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        begin, end = self._begin, self._end

        @functools.wraps(method)
        def timed(*args: Any) -> Any:
            started = begin()
            try:
                return method(*args)
            finally:
                end(part, started)

        @functools.wraps(method)
        async def timed_coroutine(*args: Any) -> Any:
            started = begin()
            try:
                return await method(*args)
            finally:
                end(part, started)

        return timed_coroutine if inspect.iscoroutinefunction(method) else timed

    def _begin(self) -> int:
        self._inside.append(0)
        return perf_counter_ns()

    def _end(self, part: str, started: int) -> None:
        taken = perf_counter_ns() - started
        self.own_ns[part] += taken - self._inside.pop()
        self.calls[part] += 1
        if self._inside:
            self._inside[-1] += taken

    def cost_ns(self) -> float:
        """Of one timer, as far as the part around it is charged with it."""

        def plain() -> None:
            pass

        timed = self._timed("", plain)
        best = [1 << 60, 1 << 60]
        for _ in range(50):
            for number, act in enumerate((plain, timed)):
                started = perf_counter_ns()
                for _ in range(ROUND):
                    act()
                best[number] = min(best[number], perf_counter_ns() - started)
        del self.own_ns[""], self.calls[""]
        return (best[1] - best[0]) / ROUND


async def measure(client: Client, timers: Timers, name: str, requests: int) -> dict[str, float]:
    """Microseconds a request by part, the quieter half of the rounds."""
    for _ in range(ROUND * 3):
        await client.ask(name)
    cost_ns, rounds = timers.cost_ns(), []
    for _ in range(max(2, requests // ROUND)):
        timers.own_ns.clear()
        timers.calls.clear()
        for _ in range(ROUND):
            await client.ask(name)
        rounds.append((timers.own_ns.total(), dict(timers.own_ns), timers.calls.total()))
    quiet = sorted(rounds, key=lambda one: one[0])[: len(rounds) // 2]
    count = len(quiet) * ROUND
    found = {part: sum(own.get(part, 0) for _, own, _ in quiet) / count / 1e3 for part in PARTS}
    timed_us = cost_ns * sum(calls for _, _, calls in quiet) / count / 1e3
    whole = sum(found.values())
    return {part: us * (1 - timed_us / whole) for part, us in found.items()}


async def run(requests: int, directory: Path) -> None:
    timers = Timers()
    timers.put_on()
    async with client_of(directory) as client:
        found = {name: await measure(client, timers, name, requests) for name in client.requests}
    print(f"{'µs a request':<42}" + "".join(f"{name:>15}" for name in found))
    for part in PARTS:
        cells = (
            f"{one[part]:>15.1f}" if one[part] >= 0.05 else f"{'':>15}" for one in found.values()
        )
        print(f"{part:<42}" + "".join(cells))
    print(f"{'together':<42}" + "".join(f"{sum(one.values()):>15.1f}" for one in found.values()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.breakdown")
    parser.add_argument("--requests", type=int, default=4000, help="of each kind")
    parser.add_argument("--directory", type=Path, help="where the store goes")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="zvault-breakdown-", dir=options.directory))
    try:
        uvloop.run(run(options.requests, directory))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
