"""Ends what a run leaves behind when it was stopped half-way, or an earlier one was killed.

What lives here: server, agent and front door by their own commands, then by the pid and start time
that were recorded; the S3 server by those that were noted; the services by the launcher's records.
What never does: a process that was not recorded.
"""

import fcntl
import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from demo.doors import start_time
from demo.place import ESTATE
from launcher.programs import Programs
from launcher.tool import Tool, ToolError

S3_PROCESS = "s3-process.json"
_RUN_DIR = Path("monitoring", "vault", "run")
_RECORDS = ("agent", "server")
"""The agent first: it would start the server again."""
_END_SECONDS = 20.0


def note_process(path: Path, pid: int) -> None:
    """Remember one process."""
    path.write_text(json.dumps({"pid": pid, "started": start_time(pid)}))


def end_leftovers(work: Path) -> None:
    """End whatever still runs from ``work``."""
    end_estate(work / ESTATE)
    site = work / "site"
    if (site / "zvault.toml").exists():
        end_site(Tool(site / "zvault.toml", work, lambda line: None))
    with suppress(FileNotFoundError, ValueError, KeyError):
        noted = json.loads((work / S3_PROCESS).read_text())
        end_process(int(noted["pid"]), str(noted["started"]))


def end_estate(folder: Path) -> None:
    """The services and their servers, by the records of the launcher, the youngest first."""
    for run_dir, number in (
        (folder / "run", signal.SIGTERM),
        (folder / "redis" / "run", signal.SIGTERM),
        (folder / "postgresql" / "run", signal.SIGINT),
    ):
        programs = Programs(run_dir)
        for name in programs.names():
            programs.stop(name, number)


def end_site(tool: Tool) -> None:
    """Server, agent and front door, also with a migration half-way, which the tool leaves alone."""
    for command in (("stage", "down"), ("frontdoor", "stop")):
        with suppress(ToolError):
            tool(*command)
    run_dir = tool.site_file.parent / _RUN_DIR
    for name in _RECORDS:
        with suppress(OSError, ValueError, KeyError, TypeError):
            end_recorded(run_dir / f"{name}.json")


def end_recorded(record: Path) -> None:
    """End the process in a record of ``zvault``; one that is just being started is waited for.

    Raises OSError, ValueError, KeyError, TypeError when there is no record of one.
    """
    with record.with_suffix(".lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = json.loads(record.read_text())["process"]
        end_process(int(process["pid"]), str(process["started"]))


def end_process(pid: int, started: str) -> None:
    """SIGTERM, and SIGKILL for one that does not end; nothing when it is another process by now."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _END_SECONDS
        with suppress(ProcessLookupError):
            if started and start_time(pid) == started:
                os.kill(pid, number)
        while started and start_time(pid) == started and time.monotonic() < deadline:
            time.sleep(0.02)
