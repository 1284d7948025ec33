"""``python -m benchmarks``: every figure the README claims, beside a real server, in one run.

Prints tables, writes ``bench-report.json`` in the project's root. Exit code 0: every figure was
measured without one error, and the promised ratios hold; 4: a promised ratio does not hold.

Fair to both: the same load tool, warm-up and duration, in short turns (``rows.py``). What a server
puts off is work of its own: the engine's log takes some 2,000 logins a segment, whose entries go
into the tree while the next one fills, so a few seconds of load pay for all but the last two
segments; what is left then is the row "clean stop". OpenBao leaves its files to the kernel, and so
does the engine without fsync.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import memory, unseal
from benchmarks.load import pick_tool
from benchmarks.machine import describe, pick_cores
from benchmarks.rows import Row, check_audited, run_rows
from benchmarks.secret_reads import measure_secrets
from benchmarks.servers import BenchError, BenchServer, start_engine, start_openbao
from benchmarks.stores import StoreFigures, measure_store

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "bench-report.json"
OPENBAO = ROOT / ".servers" / "openbao-2.6.2" / "bin" / "bao"
WEED = ROOT / ".venv" / "bin" / "weed"
DISK = Path("/var/tmp")
"""``/tmp`` is often memory, where a sync costs nothing, or full of other programs' files just
removed, which the kernel goes past for each new one (``docs/performance.md``)."""
UNSYNCED = ", no fsync"
MIN_RATIO = {
    "kv read": 15.0,
    "kv read, TLS": 8.0,
    "kv write": 3.0,
    "approle login": 2.0,
    "token create": 2.0,
    f"kv write{UNSYNCED}": 6.0,
    f"approle login{UNSYNCED}": 4.0,
    f"token create{UNSYNCED}": 4.0,
}
"""Requests a second over OpenBao's, at 32 connections; 1 for what is not named."""
MAX_UNSEAL_SECONDS = 0.5
"""The engine's longest, of every round."""
MAX_P99_RATIO = {"kv read": 0.1, "kv read, TLS": 0.1}
"""p99 over OpenBao's, at 32 connections; a third for what is not named."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--seconds", type=float, default=5.0, help="measured time a row and server")
    parser.add_argument(
        "--login-seconds", type=float, default=10.0, help="logins for the memory figures"
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=DISK if DISK.is_dir() else None,
        help="where the servers' files go (default: /var/tmp, which is a disk)",
    )
    parser.add_argument("--keep", action="store_true", help="keep the servers' files")
    options = parser.parse_args()
    for binary in (OPENBAO, WEED):
        if not binary.exists():
            sys.stderr.write(f"{binary.name} is missing: run `make servers`\n")
            return 3
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    directory = Path(tempfile.mkdtemp(prefix="zvault-bench-", dir=options.directory))
    try:
        report = _measure(directory, options.seconds, options.login_seconds)
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        options.keep = True
        return 1
    finally:
        if not options.keep:
            shutil.rmtree(directory, ignore_errors=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if report["promises_kept"] else 4


def _measure(directory: Path, seconds: float, login_seconds: float) -> dict[str, Any]:
    cores = pick_cores()
    tool = pick_tool(cores.load, directory)
    with contextlib.ExitStack() as running:
        engine = start_engine(directory / "engine", cores.server)
        running.callback(engine.stop)
        openbao = start_openbao(OPENBAO, directory / "openbao", cores.server)
        running.callback(openbao.stop)
        _say_setup(tool.name, cores.server, engine.version, openbao.version)
        synced = run_rows(tool, engine, openbao, seconds)
        stops = {"clean stop": _stop_cleanly(engine)}
        careless = start_engine(directory / "careless", cores.server, fsync=False)
        running.callback(careless.stop)
        rows = [*synced, *run_rows(tool, careless, openbao, seconds, writes=UNSYNCED)]
        stops["clean stop" + UNSYNCED] = _stop_cleanly(careless)
        stops["clean stop of OpenBao"] = _stop_cleanly(openbao)
    audited = {
        "engine": check_audited(engine, sum(row.engine.requests for row in synced)),
        "openbao": check_audited(openbao, sum(row.openbao.requests for row in rows)),
    }
    _print_rows(rows)
    for name, taken in stops.items():
        sys.stdout.write(f"{name}: {taken:.1f} s\n")
    with contextlib.ExitStack() as running:
        openbao = start_openbao(OPENBAO, directory / "secrets", cores.server)
        running.callback(openbao.stop)
        secrets = measure_secrets(openbao)
    sys.stdout.write(secrets.lines())
    store = asyncio.run(measure_store(engine.data, engine.shares, WEED, directory / "weed"))
    _print_store(store)
    filled = asyncio.run(memory.fill(directory / "filled"))
    unseals = _measure_unseals(directory / "unseal", filled, cores.server)
    resident = memory.measure_memory(
        tool,
        directory / "memory",
        filled,
        {
            "engine": lambda place, prepare: start_engine(place, cores.server, prepare),
            "openbao": lambda place, prepare: start_openbao(OPENBAO, place, cores.server, prepare),
        },
        login_seconds,
    )
    sys.stdout.write(memory.lines(resident))
    broken = _broken_promises(rows) + _broken_memory(*resident)
    if unseals[0].longest > MAX_UNSEAL_SECONDS:
        broken.append(f"unseal: {unseals[0].longest:.3f} s, promised {MAX_UNSEAL_SECONDS}")
    broken += secrets.broken()
    for promise in broken:
        sys.stdout.write(f"NOT KEPT: {promise}\n")
    return {
        "machine": describe(),
        "load_tool": tool.name,
        "server_core": cores.server,
        "load_core": cores.load,
        "openbao_version": openbao.version,
        "audit_records": audited,
        "rows": [row.as_json() for row in rows],
        "stop_seconds": stops,
        "secrets": secrets.as_json(),
        "store": store.as_json(),
        "unseal": [one.as_json() for one in unseals],
        "memory": [one.as_json() for one in resident],
        "promises_kept": not broken,
        "broken_promises": broken,
    }


def _measure_unseals(
    directory: Path, filled: memory.Filled, core: int | None
) -> list[unseal.UnsealFigures]:
    found = unseal.measure_unseals(
        directory,
        filled,
        {
            "engine": lambda place, prepare, is_first: start_engine(
                place, core, prepare, is_first=is_first
            ),
            "openbao": lambda place, prepare, _: start_openbao(OPENBAO, place, core, prepare),
        },
    )
    sys.stdout.write(unseal.lines(found))
    return found


def _stop_cleanly(server: BenchServer) -> float:
    """Seconds it took, what was put off included."""
    started = time.monotonic()
    exit_code = server.stop()
    if exit_code != 0:
        raise BenchError(f"the {server.name} ended with exit code {exit_code}")
    return round(time.monotonic() - started, 2)


def _broken_promises(rows: list[Row]) -> list[str]:
    broken = []
    for row in rows:
        if row.connections != 32:
            continue
        needed, longest = MIN_RATIO.get(row.scenario, 1.0), MAX_P99_RATIO.get(row.scenario, 1 / 3)
        if row.ratio < needed:
            broken.append(f"{row.scenario} at 32 connections: {row.ratio:.2f} x, promised {needed}")
        if row.p99_ratio > longest:
            broken.append(
                f"{row.scenario} at 32 connections: p99 {row.p99_ratio:.2f} of OpenBao's, "
                f"promised {longest:.2f}"
            )
    return broken


def _broken_memory(engine: memory.MemoryFigures, openbao: memory.MemoryFigures) -> list[str]:
    broken = []
    for when in ("unsealed_mib", "after_reads_mib", "after_logins_mib"):
        mine, other = getattr(engine, when), getattr(openbao, when)
        if mine > other:
            broken.append(f"resident memory, {when}: {mine} beside OpenBao's {other}")
    return broken


def _say_setup(tool: str, core: int | None, engine: str, openbao: str) -> None:
    pinned = "one core, load on another" if core is not None else "no core to spare: nothing pinned"
    sys.stdout.write(
        f"load tool: {tool}; server on {pinned}; audit file on for both\n"
        f"engine (speaks Vault {engine}), every write fsynced unless the row says otherwise, "
        f"beside OpenBao {openbao}\n\n"
    )
    sys.stdout.flush()


def _print_rows(rows: list[Row]) -> None:
    sys.stdout.write(
        f"{'scenario':<25}{'conns':>6}{'engine/s':>11}{'p99 ms':>9}{'cpu us':>8}"
        f"{'OpenBao/s':>12}{'p99 ms':>9}{'cpu us':>8}{'ratio':>8}{'p99':>7}\n"
    )
    for row in rows:
        sys.stdout.write(
            f"{row.scenario:<25}{row.connections:>6}"
            f"{row.engine.requests_per_second:>11,.0f}{row.engine.p99_ms:>9.2f}"
            f"{row.engine_cpu_us:>8.0f}"
            f"{row.openbao.requests_per_second:>12,.0f}{row.openbao.p99_ms:>9.2f}"
            f"{row.openbao_cpu_us:>8.0f}"
            f"{row.ratio:>7.1f}x{row.p99_ratio:>7.2f}\n"
        )
    sys.stdout.write("\n")


def _print_store(store: StoreFigures) -> None:
    rates = store.as_json()
    sys.stdout.write(
        f"store of {store.entries:,} entries\n"
        f"  copy file -> S3, proven ({store.copy_proof}): {store.copy_seconds:.1f} s, "
        f"{rates['copy_entries_per_second']:,.0f} entries/s\n"
        f"  plain upload of the same objects, unproven: {store.plain_upload_seconds:.1f} s, "
        f"{rates['plain_entries_per_second']:,.0f} entries/s "
        f"(copy takes {rates['copy_to_plain_ratio']} x)\n"
        f"  offline verify: {rates['verify_entries_per_second']:,.0f} entries/s\n"
    )


if __name__ == "__main__":
    sys.exit(main())
