"""Requests a second, engine beside OpenBao: every scenario, one connection and many.

What lives here: the order of the runs and the ratios. The two servers take turns, row by row, so
that whatever else the machine does falls on both.
"""

from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.load import LoadResult, LoadTool
from benchmarks.scenarios import Scenario, scenarios
from benchmarks.servers import BenchError, BenchServer

CONNECTIONS = (1, 32)


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario at one number of connections."""

    scenario: str
    connections: int
    engine: LoadResult
    openbao: LoadResult
    engine_cpu_us: float = 0.0
    """Processor time a request, user and kernel; steadier than the rate on a shared machine."""
    openbao_cpu_us: float = 0.0

    @property
    def ratio(self) -> float:
        """Engine's requests a second over OpenBao's."""
        return self.engine.requests_per_second / self.openbao.requests_per_second

    @property
    def p99_ratio(self) -> float:
        """Engine's p99 over OpenBao's; below 1 is better."""
        return self.engine.p99_ms / self.openbao.p99_ms

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "ratio": round(self.ratio, 2),
            "p99_ratio": round(self.p99_ratio, 3),
        }


def run_rows(
    tool: LoadTool, engine: BenchServer, openbao: BenchServer, seconds: float, writes: str = ""
) -> list[Row]:
    """All rows. ``writes``: only those that write, with this behind their names.

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
            mine, my_cpu = _measured(tool, ours, engine, connections, seconds)
            tool.run(theirs, openbao.access, connections, 1)
            other, other_cpu = _measured(tool, theirs, openbao, connections, seconds)
            for server, result in ((engine, mine), (openbao, other)):
                if result.errors or not result.requests:
                    raise BenchError(
                        f"{server.name}: {ours.name} at {connections} connections: "
                        f"{result.errors} errors in {result.requests} requests; "
                        f"see {server.directory}/server.log"
                    )
            rows.append(Row(ours.name + writes, connections, mine, other, my_cpu, other_cpu))
    return rows


def _measured(
    tool: LoadTool, scenario: Scenario, server: BenchServer, connections: int, seconds: float
) -> tuple[LoadResult, float]:
    """The run, and microseconds of processor time a request."""
    assert server.access is not None
    before = server.cpu_seconds()
    result = tool.run(scenario, server.access, connections, seconds)
    used = server.cpu_seconds() - before
    return result, round(used * 1e6 / max(result.requests, 1), 1)


def check_audited(server: BenchServer, at_least: int) -> int:
    """Audit records written; both servers must have two for every request."""
    with server.audit_file.open("rb") as file:
        records = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    if records < 2 * at_least:
        raise BenchError(f"{server.name} wrote {records} audit records for {at_least} requests")
    return records
