"""``python -m benchmarks.stalls``: what the slowest answers of a loaded engine waited for.

What lives here: the load, and the table of the waits that took longer than a limit. What never
does: another server; a ratio (``__main__.py``); own time of what is merely executed
(``breakdown.py``); the clocks (``watch.py``).
"""

import argparse
import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from benchmarks import watch
from benchmarks.__main__ import DISK
from benchmarks.load import LoadResult, pick_tool
from benchmarks.machine import pick_cores
from benchmarks.scenarios import scenarios
from benchmarks.servers import BenchError, start_engine


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stalls")
    parser.add_argument("--scenario", default="approle login", help="a row of `make bench`")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--no-fsync", action="store_true")
    parser.add_argument("--limit-ms", type=float, default=10.0, help="shorter waits do not count")
    parser.add_argument("--directory", type=Path, default=DISK if DISK.is_dir() else None)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="zvault-stalls-", dir=options.directory))
    try:
        result = _measure(directory, options)
        _print(result, (directory / "engine" / watch.FOUND).read_text(), options)
    except BenchError as error:
        sys.stderr.write(f"stalls: {error}\n")
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def _measure(directory: Path, options: argparse.Namespace) -> LoadResult:
    """The load on a watched server, after a warm-up that is not counted. Raises BenchError."""
    cores = pick_cores()
    program = (sys.executable, watch.__file__, str(options.limit_ms))
    engine = start_engine(
        directory / "engine", cores.server, fsync=not options.no_fsync, program=program
    )
    try:
        assert engine.access is not None
        found = [one for one in scenarios(engine.access) if one.name == options.scenario]
        if not found:
            names = ", ".join(one.name for one in scenarios(engine.access))
            raise BenchError(f"no such scenario; there are: {names}")
        tool = pick_tool(cores.load, directory)
        tool.run(found[0], engine.access, options.connections, 1)
        (engine.directory / watch.FOUND).write_bytes(b"")
        return tool.run(found[0], engine.access, options.connections, options.seconds)
    finally:
        engine.stop()


def _print(result: LoadResult, found: str, options: argparse.Namespace) -> None:
    waits: dict[str, list[float]] = defaultdict(list)
    for line in found.splitlines():
        taken, _, part = line.partition(" ")
        waits[part].append(float(taken))
    title = f"waits of {options.limit_ms:g} ms and more"
    sys.stdout.write(
        f"{options.scenario}: {result.requests_per_second:,.0f}/s, p50 {result.p50_ms:.1f} ms, "
        f"p99 {result.p99_ms:.1f} ms, longest {result.max_ms:.1f} ms\n"
        f"{title:<44}{'times':>8}{'longest':>10}{'sum':>10}\n"
    )
    for part in (*watch.WAITS, watch.GARBAGE, watch.LOOP):
        if taken_ms := waits.get(part):
            sys.stdout.write(
                f"{part:<44}{len(taken_ms):>8}{max(taken_ms):>10.1f}{sum(taken_ms):>10.0f}\n"
            )


if __name__ == "__main__":
    sys.exit(main())
