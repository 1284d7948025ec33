"""How long a restarted server is away: from the last share to health 200, each time a new process.

What lives here: the timing. What never does: the store (``memory.py`` makes it).
Invariant: every round is a process of its own on the same store, so that what the first unseal of
a process has to load counts.
"""

import http.client
import json
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hvac

from benchmarks.memory import Filled
from benchmarks.servers import BenchError, BenchServer

ROUNDS = 20
HEALTHY = 200
Launch = Callable[[Path, Callable[[BenchServer], hvac.Client], bool], BenchServer]
"""Place, what to do when it answers, whether this is the first start on the store."""


@dataclass(frozen=True, slots=True)
class UnsealFigures:
    """Seconds of one server, in the order they were measured."""

    server: str
    entries: int
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    """What the server itself used of them; the rest is disk, and a machine with other work."""

    @property
    def longest(self) -> float:
        return max(self.seconds)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "median": statistics.median(self.seconds), "longest": self.longest}


def measure_unseals(
    directory: Path, filled: Filled, launches: dict[str, Launch]
) -> list[UnsealFigures]:
    """One server after the other, each on a copy of its own. Raises BenchError."""
    found = []
    for name, launch in launches.items():
        place = directory / name
        shutil.copytree(filled.data, place / "data")
        rounds = _rounds(launch, place, filled)
        seconds, used = zip(*rounds, strict=True)
        found.append(UnsealFigures(name, filled.entries, seconds, used))
    return found


def _rounds(launch: Launch, place: Path, filled: Filled) -> list[tuple[float, float]]:
    rounds: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        server = launch(place, lambda one: _timed(one, filled, rounds), not rounds)
        if server.stop() != 0:
            raise BenchError(f"{server.name} did not end well; see {place}/server.log")
    return rounds


def _timed(server: BenchServer, filled: Filled, rounds: list[tuple[float, float]]) -> hvac.Client:
    connection = http.client.HTTPConnection(server.address.partition("://")[2], timeout=60)
    used = server.cpu_seconds()
    status, started = 0, time.perf_counter()
    connection.request("PUT", "/v1/sys/unseal", json.dumps({"key": filled.key}))
    connection.getresponse().read()
    while status != HEALTHY:
        connection.request("GET", "/v1/sys/health")
        answer = connection.getresponse()
        answer.read()
        status = answer.status
        if time.perf_counter() - started > 60:
            raise BenchError(f"{server.name} stayed sealed")
    elapsed = time.perf_counter() - started
    rounds.append((round(elapsed, 4), round(server.cpu_seconds() - used, 2)))
    connection.close()
    return hvac.Client(url=server.address, token=filled.access.address)


def lines(figures: list[UnsealFigures]) -> str:
    """For people."""
    text = f"last share to health 200, a store of {figures[0].entries:,} entries, new processes\n"
    for one in figures:
        text += (
            f"  {one.server:<8} median {statistics.median(one.seconds):.3f} s, longest "
            f"{one.longest:.3f} s of {len(one.seconds)}; on the processor at most "
            f"{max(one.cpu_seconds):.2f} s\n"
        )
    return text
