"""The machine under the bench: which core serves, which one loads.

What lives here: pinning and what is said about the machine. Invariant: a child is pinned before it
begins, because Go counts its cores once, at its start.
"""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cores:
    """One core each, or both None on a machine with a single core: nothing is pinned then."""

    server: int | None
    load: int | None


def pick_cores() -> Cores:
    """The first core for the server, the second for the load."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        return Cores(None, None)
    return Cores(available[0], available[1])


def pinned_to(core: int | None) -> Callable[[], None] | None:
    """For Popen's ``preexec_fn``."""
    if core is None:
        return None
    return lambda: os.sched_setaffinity(0, {core})


def describe() -> dict[str, str | int]:
    """What a reader needs to place the figures."""
    return {
        "cores": os.cpu_count() or 0,
        "processor": _processor(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, its ended threads included (proc(5): utime, stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()
