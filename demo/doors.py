"""Small looks from outside: a server's health, a refused plaintext request, the audit file.

What lives here: what a suspicious bystander would try, without a token and without zvault.
"""

import http.client
import json
import os
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

from launcher.tool import wait_until

_HEALTH = "/v1/sys/health"


def status_of(url: str, ca_file: Path | None, path: str = _HEALTH) -> int:
    """The HTTP status of one GET; 0 when nobody answers."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    try:
        connection = (
            http.client.HTTPConnection(host, port, timeout=5)
            if parts.scheme == "http"
            else http.client.HTTPSConnection(
                host, port, timeout=5, context=ssl.create_default_context(cafile=str(ca_file))
            )
        )
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return 0


def kill_and_wait_for_health(
    pid: int, url: str, ca_file: Path | None
) -> tuple[float, float, float]:
    """kill -9 and wait until the server at ``url`` is unsealed again.

    When the signal was sent, when the process was gone, and the milliseconds until health 200.
    """
    started = start_time(pid)
    sent = time.monotonic()
    os.kill(pid, 9)
    wait_until(lambda: start_time(pid) != started, 10, f"the end of process {pid}")
    gone = time.monotonic()
    wait_until(lambda: status_of(url, ca_file) == 200, 60, f"health of {url} after a kill")
    return sent, gone, (time.monotonic() - sent) * 1000


def audit_records(path: Path) -> int:
    """How many well-formed records an audit file holds. Raises ValueError for a broken one."""
    count = 0
    with path.open("rb") as file:
        for line in file:
            record = json.loads(line)
            if record.get("type") not in ("request", "response"):
                raise ValueError(f"{path}: no audit record in line {count + 1}")
            count += 1
    return count


def audit_files(path: Path) -> list[Path]:
    """The audit file and what it was rotated to, oldest first."""
    files = [one for one in path.parent.glob(f"{path.name}*") if one.is_file()]
    return sorted(files, key=lambda one: (one == path, one.name))


def start_time(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty when there is none, or its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") and int(fields[17]) <= 1 else fields[19]
