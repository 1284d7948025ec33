"""Requests a second, engine beside OpenBao: every scenario, one connection and many.

What lives here: the order of the runs and the ratios. Each row is several short rounds in which the
two servers take turns; its ratios are the medians of the rounds' ratios, so that what else the
machine does falls on both sides of a ratio, and one bad second counts for nothing. Before each turn
the disk is brought to rest: a server without fsync leaves thousands of files to the kernel, and the
first fsync of the other one would pay for them.
"""

import os
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.load import LoadResult, LoadTool
from benchmarks.scenarios import Scenario, scenarios
from benchmarks.servers import BenchError, BenchServer

CONNECTIONS = (1, 32)
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """One server's part of a round."""

    result: LoadResult
    cpu_us: float
    """Processor time a request, user and kernel; steadier than the rate on a shared machine."""


@dataclass(frozen=True, slots=True)
class Round:
    """Both servers, one right after the other."""

    engine: Measured
    openbao: Measured

    @property
    def ratio(self) -> float:
        """Engine's requests a second over OpenBao's."""
        return self.engine.result.requests_per_second / self.openbao.result.requests_per_second

    @property
    def p99_ratio(self) -> float:
        """Engine's p99 over OpenBao's; below 1 is better."""
        return self.engine.result.p99_ms / self.openbao.result.p99_ms


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario at one number of connections."""

    scenario: str
    connections: int
    rounds: tuple[Round, ...]

    @property
    def engine(self) -> LoadResult:
        """The engine's rounds together: sums, medians, the longest of all."""
        return _together([one.engine.result for one in self.rounds])

    @property
    def openbao(self) -> LoadResult:
        """The same of OpenBao's."""
        return _together([one.openbao.result for one in self.rounds])

    @property
    def engine_cpu_us(self) -> float:
        """Processor time a request: of the round that was disturbed least."""
        return min(one.engine.cpu_us for one in self.rounds)

    @property
    def openbao_cpu_us(self) -> float:
        """The same of OpenBao's."""
        return min(one.openbao.cpu_us for one in self.rounds)

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return median(one.ratio for one in self.rounds)

    @property
    def p99_ratio(self) -> float:
        """The median of the rounds' p99 ratios."""
        return median(one.p99_ratio for one in self.rounds)

    def as_json(self) -> dict[str, Any]:
        """``docs/performance.md`` has the shape."""
        return {
            "scenario": self.scenario,
            "connections": self.connections,
            "engine": asdict(self.engine),
            "openbao": asdict(self.openbao),
            "engine_cpu_us": self.engine_cpu_us,
            "openbao_cpu_us": self.openbao_cpu_us,
            "ratio": round(self.ratio, 2),
            "p99_ratio": round(self.p99_ratio, 3),
            "round_ratios": [round(one.ratio, 2) for one in self.rounds],
        }


def _together(results: list[LoadResult]) -> LoadResult:
    return LoadResult(
        requests=sum(one.requests for one in results),
        requests_per_second=median(one.requests_per_second for one in results),
        p50_ms=median(one.p50_ms for one in results),
        p99_ms=median(one.p99_ms for one in results),
        max_ms=max(one.max_ms for one in results),
        errors=sum(one.errors for one in results),
    )


def run_rows(
    tool: LoadTool, engine: BenchServer, openbao: BenchServer, seconds: float, writes: str = ""
) -> list[Row]:
    """All rows. ``writes``: only those that write, with this behind their names. ``seconds``: of
    all rounds of a row together, for each server.

    Raises BenchError when a server answered with errors.
    """
    assert engine.access is not None
    assert openbao.access is not None
    pairs = zip(scenarios(engine.access), scenarios(openbao.access), strict=True)
    rows = []
    for ours, theirs in pairs:
        if writes and ours.method != "POST":
            continue
        for connections in CONNECTIONS:
            tool.run(ours, engine.access, connections, 1)  # warm
            tool.run(theirs, openbao.access, connections, 1)
            rounds = tuple(
                Round(
                    _measured(tool, ours, engine, connections, seconds / ROUNDS),
                    _measured(tool, theirs, openbao, connections, seconds / ROUNDS),
                )
                for _ in range(ROUNDS)
            )
            rows.append(Row(ours.name + writes, connections, rounds))
    return rows


def _measured(
    tool: LoadTool, scenario: Scenario, server: BenchServer, connections: int, seconds: float
) -> Measured:
    """A round's run. Raises BenchError when not every answer was a good one."""
    assert server.access is not None
    os.sync()
    before = server.cpu_seconds()
    result = tool.run(scenario, server.access, connections, seconds)
    used = server.cpu_seconds() - before
    if result.errors or not result.requests:
        raise BenchError(
            f"{server.name}: {scenario.name} at {connections} connections: "
            f"{result.errors} errors in {result.requests} requests; "
            f"see {server.directory}/server.log"
        )
    return Measured(result, round(used * 1e6 / result.requests, 1))


def check_audited(server: BenchServer, at_least: int) -> int:
    """Audit records written; both servers must have two for every request."""
    with server.audit_file.open("rb") as file:
        records = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    if records < 2 * at_least:
        raise BenchError(f"{server.name} wrote {records} audit records for {at_least} requests")
    return records
