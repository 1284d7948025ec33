"""Resident memory: both servers on the same 70,000 entries, and over logins whose tokens expire.

What lives here: the store (made once, by the engine in this process, and copied for each server),
and what is measured on it: unsealed with all leases loaded, after reading, after logins. What never
does: rates.
Invariants: both servers open the same bytes and have every secret read; every login's token ends
two seconds later.
"""

import http.client
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import hvac

from benchmarks.load import LoadTool
from benchmarks.scenarios import Scenario, scenarios
from benchmarks.servers import POLICY, Access, BenchError, BenchServer
from zvault.base.clock import SystemClock
from zvault.engine.api import Operation, Request, Response
from zvault.engine.core import Core
from zvault.engine.settings import CoreSettings
from zvault.storage.file import FileStorage

SECRETS, TOKENS = 24_000, 5_500
"""Two entries a secret, four a token: about 70,000 entries."""
TOKEN_TTL = "2s"
QUIET_SECONDS = 4.0
"""Until the last tokens have ended."""
Launch = Callable[[Path, Callable[[BenchServer], hvac.Client]], BenchServer]


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """MiB of one server."""

    server: str
    entries: int
    unsealed_mib: float
    after_reads_mib: float
    after_half_mib: float
    """After half of the logins."""
    after_logins_mib: float
    logins: int

    @property
    def growth_bytes(self) -> float:
        """A login, over the second half."""
        return (self.after_logins_mib - self.after_half_mib) * 2**20 / max(self.logins / 2, 1)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "growth_bytes_per_login": round(self.growth_bytes, 1)}


@dataclass(frozen=True, slots=True)
class Filled:
    """A store and what opens it."""

    data: Path
    entries: int
    key: str
    access: Access


async def fill(data: Path) -> Filled:
    """A store with secrets, a role and tokens with leases."""
    core = Core(FileStorage.open(data, fsync=False), CoreSettings(), clock=SystemClock())
    await core.start()
    made = await core.initialize(1, 1)
    await core.submit_share(made.keys[0].reveal())
    root = made.root_token.reveal_text()

    async def write(path: str, **body: Any) -> Response | None:
        request = Request("bench", Operation.UPDATE, path, body, client_token=root)
        return await core.handle(request)

    await write("sys/mounts/kv", type="kv", options={"version": "2"})
    await write("sys/auth/approle", type="approle")
    await write("sys/policies/acl/bench", policy=POLICY)
    short = {"token_ttl": TOKEN_TTL, "token_max_ttl": TOKEN_TTL}
    await write("auth/approle/role/bench", token_policies=["bench"], **short)
    for number in range(SECRETS):
        await write(f"kv/data/s/{number}", data={"user": f"user-{number}", "value": "v" * 230})
    for _ in range(TOKENS):
        token = await write("auth/token/create", policies=["bench"], ttl="24h")
    secret_id = await write("auth/approle/role/bench/secret-id")
    role_id = await core.handle(
        Request("bench", Operation.READ, "auth/approle/role/bench/role-id", client_token=root)
    )
    assert token is not None
    assert token.auth is not None
    assert secret_id is not None
    assert secret_id.data is not None
    assert role_id is not None
    assert role_id.data is not None
    access = Access(
        "", token.auth.client_token, role_id.data["role_id"], secret_id.data["secret_id"]
    )
    await core.shutdown()
    entries = sum(len(files) for _, _, files in os.walk(data))
    return Filled(data, entries, made.keys[0].reveal().hex(), replace(access, address=root))


def measure_memory(
    tool: LoadTool,
    directory: Path,
    filled: Filled,
    launches: dict[str, Launch],
    login_seconds: float,
) -> list[MemoryFigures]:
    """One server after the other, each on its own copy. Raises BenchError."""
    found = []
    for name, launch in launches.items():
        place = directory / name
        shutil.copytree(filled.data, place / "data")
        server = launch(place, lambda server: _open(server, filled))
        try:
            found.append(_measure(tool, server, filled, login_seconds))
        finally:
            server.stop()
    return found


def _open(server: BenchServer, filled: Filled) -> hvac.Client:
    client = hvac.Client(url=server.address, token=filled.access.address)
    if client.sys.submit_unseal_key(filled.key)["sealed"]:
        raise BenchError(f"{server.name} stayed sealed")
    server.access = replace(
        filled.access,
        address=server.address,
        tls_address=server.tls_address,
        ca_file=server.ca_file,
    )
    return client


def _measure(
    tool: LoadTool, server: BenchServer, filled: Filled, login_seconds: float
) -> MemoryFigures:
    assert server.access is not None
    time.sleep(QUIET_SECONDS)
    unsealed = server.resident_mib()
    _read_all(server.access)
    after_reads = server.resident_mib()
    login = next(one for one in scenarios(server.access) if one.name == "approle login")
    half, logins = 0.0, 0
    for _ in range(2):
        half = server.resident_mib()
        logins += _run(tool, server, login, login_seconds / 2)
        time.sleep(QUIET_SECONDS)
    return MemoryFigures(
        server=server.name,
        entries=filled.entries,
        unsealed_mib=round(unsealed, 1),
        after_reads_mib=round(after_reads, 1),
        after_half_mib=round(half, 1),
        after_logins_mib=round(server.resident_mib(), 1),
        logins=logins,
    )


def _read_all(access: Access) -> None:
    connection = http.client.HTTPConnection(access.address.partition("://")[2], timeout=60)
    for number in range(SECRETS):
        path = f"/v1/kv/data/s/{number}"
        connection.request("GET", path, headers={"X-Vault-Token": access.token})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise BenchError(f"{path} answered {answer.status}")
    connection.close()


def _run(tool: LoadTool, server: BenchServer, scenario: Scenario, seconds: float) -> int:
    assert server.access is not None
    result = tool.run(scenario, server.access, 32, seconds)
    if result.errors or not result.requests:
        raise BenchError(
            f"{server.name}: {scenario.name}: {result.errors} errors in {result.requests} "
            f"requests; see {server.directory}/server.log"
        )
    return result.requests


def lines(figures: list[MemoryFigures]) -> str:
    """For people."""
    text = f"resident memory, a store of {figures[0].entries:,} entries (MiB)\n"
    for one in figures:
        text += (
            f"  {one.server:<8} unsealed {one.unsealed_mib:>6.0f}, after reads "
            f"{one.after_reads_mib:>6.0f}, after {one.logins:,} logins with expiring tokens "
            f"{one.after_logins_mib:>6.0f} ({one.growth_bytes:+.0f} bytes a login in the "
            f"second half)\n"
        )
    return text
