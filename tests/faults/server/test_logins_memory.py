"""A million logins whose tokens end two seconds later, and the memory of the server process."""

import sys
import time
from pathlib import Path

import pytest

from benchmarks.load import LoadTool
from benchmarks.scenarios import Scenario, scenarios
from benchmarks.servers import Access
from tests.support.engine_server import EngineServer, start_server

LOGINS, STEP = 1_000_000, 100_000
CONNECTIONS = 32
CHUNK_SECONDS = 5.0
QUIET_SECONDS = 5.0
TTL = {"token_ttl": "2s", "token_max_ttl": "2s"}
MAX_GROWTH = 1.1


def resident_mib(server: EngineServer) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def login_of(server: EngineServer) -> tuple[Scenario, Access]:
    """The request, for a role whose tokens end soon."""
    assert server.request("POST", "sys/auth/approle", {"type": "approle"})[0] == 204
    assert server.request("POST", "auth/approle/role/r", TTL)[0] == 204
    role = server.request("GET", "auth/approle/role/r/role-id")[1]["data"]["role_id"]
    secret = server.request("POST", "auth/approle/role/r/secret-id", {})[1]["data"]["secret_id"]
    access = Access(server.address, server.token, role, secret)
    return next(one for one in scenarios(access) if one.name == "approle login"), access


def leases(server: EngineServer) -> int:
    status, found = server.request("LIST", "sys/leases/lookup/auth/approle/login/")
    return 0 if status == 404 else len(found["data"]["keys"])


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_memory_is_flat_over_a_million_logins_whose_tokens_end(tmp_path: Path) -> None:
    server = start_server(tmp_path / "server", 'storage "file" { path = "data" }')
    try:
        server.initialize()
        scenario, access = login_of(server)
        tool = LoadTool("benchmarks.client", None, tmp_path)
        done, sizes = 0, []
        while done < LOGINS:
            result = tool.run(scenario, access, CONNECTIONS, CHUNK_SECONDS)
            assert result.errors == 0
            done += result.requests
            if done // STEP > len(sizes):
                sizes.append(resident_mib(server))
                sys.stdout.write(f"{done:,} logins: {sizes[-1]:.1f} MiB\n")
                sys.stdout.flush()
        deadline = time.monotonic() + 60
        while leases(server):
            assert time.monotonic() < deadline, "tokens stay"
            time.sleep(QUIET_SECONDS)
        assert server.stop() == 0
    finally:
        server.stop()
    assert sizes[-1] <= MAX_GROWTH * sizes[0], sizes
