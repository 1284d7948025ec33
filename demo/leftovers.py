"""Ends what an earlier run left behind when it was killed itself.

What lives here: server, agent and front door by their own commands, the S3 server by the pid and
start time that were noted. What never does: a process that was not noted.
"""

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

from demo.doors import start_time
from demo.tool import Tool, ToolError, wait_until

S3_PROCESS = "s3-process.json"


def note_process(path: Path, pid: int) -> None:
    """Remember one process."""
    path.write_text(json.dumps({"pid": pid, "started": start_time(pid)}))


def end_leftovers(work: Path) -> None:
    """End whatever still runs from ``work``."""
    site_file = work / "site" / "zvault.toml"
    if site_file.exists():
        tool = Tool(site_file, work, lambda line: None)
        for command in (("stage", "down"), ("frontdoor", "stop")):
            with suppress(ToolError):
                tool(*command)
    with suppress(FileNotFoundError):
        noted = json.loads((work / S3_PROCESS).read_text())
        pid, started = int(noted["pid"]), str(noted["started"])
        if started and start_time(pid) == started:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: start_time(pid) != started, 20, "the end of an old S3 server")
