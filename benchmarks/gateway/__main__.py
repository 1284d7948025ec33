"""``python -m benchmarks.gateway``: the gateway beside a bare proxy and nginx, in one run.

Prints a table, writes ``bench-gateway-report.json`` in the project's root. Exit code 0: no request
failed and what is promised holds; 4: a promise does not hold; 1: it could not be measured.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from benchmarks.gateway.stage import Stage, staged
from benchmarks.load import LoadResult, LoadTool, pick_tool
from benchmarks.machine import cpu_seconds, describe, pick_cores
from benchmarks.scenarios import Scenario
from benchmarks.servers import Access, BenchError
from zakupai_common.redis import RedisSettings, make_redis
from zakupai_common.secret import Secret
from zakupai_gateway.limits.gcra import Charge, Limit
from zakupai_gateway.limits.redis_limits import RedisLimits

REPORT = Path(__file__).parent.parent.parent / "bench-gateway-report.json"
CONNECTIONS, ROUNDS = 32, 5
GATEWAY = "gateway"
MIN_PER_SECOND, MAX_P99_MS, MAX_CHECK_MS = 2500.0, 30.0, 0.2


@dataclass(frozen=True, slots=True)
class Round:
    """One load on one proxy. ``cpu_us``: of the proxy, for a request."""

    load: LoadResult
    cpu_us: float


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway")
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="measured time a proxy and round"
    )
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="zakupai-bench-"))
    try:
        report = _measure(folder, options.seconds)
    except BenchError as error:
        sys.stderr.write(f"bench: {error}; logs in {folder}\n")
        return 1
    shutil.rmtree(folder)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    for promise in report["not_kept"]:
        sys.stdout.write(f"NOT KEPT: {promise}\n")
    return 4 if report["not_kept"] else 0


def _measure(folder: Path, seconds: float) -> dict[str, Any]:
    cores = pick_cores()
    tool = pick_tool(cores.load, folder)
    with staged(folder, cores) as stage:
        if cores.load is not None:
            os.sched_setaffinity(0, {cores.load})
        names = {GATEWAY: stage.gateway, "bare aiohttp": stage.bare, "nginx": stage.nginx}
        rounds: dict[str, list[Round]] = {name: [] for name, at in names.items() if at}
        for number in range(ROUNDS):  # in turn and to and fro: a slow moment hits all of them
            for name in sorted(rounds, reverse=number % 2 == 1):
                rounds[name].append(_load(tool, stage, names[name], name, seconds))
        check_ms = uvloop.run(_checks(stage))  # as the gateway runs
    found = {name: _middle(results, rounds[GATEWAY]) for name, results in rounds.items()}
    _print(found, check_ms, tool.name)
    return {
        "machine": describe(),
        "load_tool": tool.name,
        "connections": CONNECTIONS,
        "proxies": found,
        "rounds": {name: [asdict(one) for one in results] for name, results in rounds.items()},
        "limiter_check_p50_ms": check_ms,
        "not_kept": _not_kept(found, check_ms),
    }


def _load(tool: LoadTool, stage: Stage, address: str, name: str, seconds: float) -> Round:
    path = "/api/calc/lots/4711?fields=all" if name == GATEWAY else "/lots/4711?fields=all"
    bearer = (("Authorization", f"Bearer {stage.token}"),)
    scenario = Scenario(name, "GET", path, "", False, more_headers=bearer)
    access = Access(address, "", "", "")
    tool.run(scenario, access, CONNECTIONS, 1)
    before = cpu_seconds(stage.pids[name])
    result = tool.run(scenario, access, CONNECTIONS, seconds)
    if result.errors:
        raise BenchError(f"{name}: {result.errors} of {result.requests} requests failed")
    used = cpu_seconds(stage.pids[name]) - before
    return Round(result, used * 1e6 / result.requests)


async def _checks(stage: Stage) -> float:
    """Milliseconds for one check of four limits, one at a time; the median."""
    settings = RedisSettings("127.0.0.1", stage.redis.port, timeout_seconds=2)
    redis = make_redis(settings, lambda: Secret(stage.redis_password))
    limits, plenty = RedisLimits(redis, 2), Limit(10**7, 1)
    charges = [Charge(kind, f"{kind}:1", plenty) for kind in ("ip", "route", "key", "user")]
    taken = []
    for _ in range(3000):
        began = time.perf_counter()
        await limits.check(charges)
        taken.append((time.perf_counter() - began) * 1000)
    await redis.aclose()
    return median(taken)


def _middle(results: list[Round], gateway: list[Round]) -> dict[str, float]:
    """Medians over the rounds; ratios are the gateway's to this one's, taken within a round."""
    loads, pairs = [one.load for one in results], list(zip(gateway, results, strict=True))
    return {
        "requests_per_second": round(median(one.requests_per_second for one in loads), 1),
        "p50_ms": median(one.p50_ms for one in loads),
        "p99_ms": median(one.p99_ms for one in loads),
        "cpu_us": round(median(one.cpu_us for one in results), 1),
        "cpu_ratio": round(median(ours.cpu_us / one.cpu_us for ours, one in pairs), 2),
        "rate_ratio": round(
            median(
                ours.load.requests_per_second / one.load.requests_per_second for ours, one in pairs
            ),
            3,
        ),
    }


def _print(found: dict[str, dict[str, float]], check_ms: float, tool: str) -> None:
    sys.stdout.write(
        f"one core each, {CONNECTIONS} connections, an answer of 300 bytes, {tool}; the gateway "
        "checks a token and three limits in Redis, signs the identity and logs\n"
    )
    sys.stdout.write(
        f"{'':14}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'cpu us':>9}"
        f"{'gateway / it: rate':>21}{'cpu':>8}\n"
    )
    for name, one in found.items():
        sys.stdout.write(
            f"{name:14}{one['requests_per_second']:12,.0f}{one['p50_ms']:9.2f}{one['p99_ms']:9.2f}"
            f"{one['cpu_us']:9.0f}{one['rate_ratio']:21.3f}{one['cpu_ratio']:8.2f}\n"
        )
    if "nginx" not in found:
        sys.stdout.write("nginx         is not installed here\n")
    sys.stdout.write(f"limiter check, one at a time: p50 {check_ms:.3f} ms\n")


def _not_kept(found: dict[str, dict[str, float]], check_ms: float) -> list[str]:
    rate, p99 = found[GATEWAY]["requests_per_second"], found[GATEWAY]["p99_ms"]
    promises = [
        (rate >= MIN_PER_SECOND, f"{rate:.0f} requests/s, promised {MIN_PER_SECOND:.0f}"),
        (p99 < MAX_P99_MS, f"p99 {p99:.1f} ms, promised {MAX_P99_MS:.0f}"),
        (check_ms <= MAX_CHECK_MS, f"limiter check {check_ms:.3f} ms, promised {MAX_CHECK_MS}"),
    ]
    return [text for kept, text in promises if not kept]


if __name__ == "__main__":
    sys.exit(main())
