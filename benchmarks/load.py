"""The load: wrk when it is on PATH, else our own client; the same for both servers.

What lives here: running a scenario for some seconds and reading what came of it. What never does:
servers started.
Invariant: an answer that is not 2xx, and a socket error, counts as an error and is reported; a
result with errors is not a figure.
"""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import pinned_to
from benchmarks.scenarios import SECRETS, Scenario, headers
from benchmarks.servers import Access, BenchError

_LINE = re.compile(r"BENCH (\{.*\})")
_SCRIPT = """
local numbered = %(numbered)s
local count = 0
local head = %(headers)s
function request()
  count = count + 7
  local path = %(path)s
  if numbered then path = string.format(path, count %% %(numbers)d) end
  return wrk.format(%(method)s, path, head, %(body)s)
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'BENCH {"requests":%%d,"microseconds":%%d,' ..
    '"p50_us":%%d,"p99_us":%%d,"max_us":%%d,"errors":%%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.max, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What one run gave."""

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int


@dataclass(frozen=True, slots=True)
class LoadTool:
    """How load is made; ``name`` goes into the report."""

    name: str
    core: int | None
    directory: Path

    def run(
        self, scenario: Scenario, access: Access, connections: int, seconds: float
    ) -> LoadResult:
        """Load for ``seconds``. Raises BenchError when the tool itself fails."""
        make = self._wrk if self.name == "wrk" else self._own
        process = subprocess.run(
            make(scenario, access, connections, seconds),
            capture_output=True,
            text=True,
            env={"PATH": os.environ.get("PATH", "")},
            preexec_fn=pinned_to(self.core),
            timeout=seconds + 60,
            check=False,
        )
        match = _LINE.search(process.stdout)
        if match is None:
            raise BenchError(f"{self.name} gave no result: {process.stderr[-500:]}")
        found = json.loads(match.group(1))
        return LoadResult(
            requests=found["requests"],
            requests_per_second=found["requests"] / (found["microseconds"] / 1e6),
            p50_ms=found["p50_us"] / 1e3,
            p99_ms=found["p99_us"] / 1e3,
            max_ms=found["max_us"] / 1e3,
            errors=found["errors"],
        )

    def _wrk(
        self, scenario: Scenario, access: Access, connections: int, seconds: float
    ) -> list[str]:
        lua_headers = ", ".join(
            f"[{_lua(name)}] = {_lua(value)}" for name, value in headers(scenario, access).items()
        )
        script = self._private_file(
            "load.lua",
            _SCRIPT
            % {
                "numbered": "true" if "%d" in scenario.path else "false",
                "headers": "{" + lua_headers + "}",
                "path": _lua(scenario.path),
                "numbers": SECRETS,
                "method": _lua(scenario.method),
                "body": _lua(scenario.body) if scenario.body else "nil",
            },
        )
        return [
            "wrk", "-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "-s", str(script),
            scenario.address(access),
        ]  # fmt: skip

    def _own(
        self, scenario: Scenario, access: Access, connections: int, seconds: float
    ) -> list[str]:
        plan = self._private_file(
            "load.json",
            json.dumps(
                {
                    "scenario": asdict(scenario),
                    "headers": headers(scenario, access),
                    "address": scenario.address(access),
                    "ca_file": access.ca_file,
                    "numbers": SECRETS,
                    "connections": connections,
                    "seconds": seconds,
                }
            ),
        )
        client = Path(__file__).with_name("client.py")
        return [sys.executable, str(client), str(plan)]

    def _private_file(self, name: str, text: str) -> Path:
        """The token is in it, so it is nobody else's to read and in no argument list."""
        path = self.directory / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        return path


def _lua(text: str) -> str:
    """A Lua string literal; JSON's escapes for quotes and backslashes are Lua's too."""
    return json.dumps(text)


def pick_tool(core: int | None, directory: Path) -> LoadTool:
    """wrk when there is one."""
    return LoadTool("wrk" if shutil.which("wrk") else "benchmarks.client", core, directory)
