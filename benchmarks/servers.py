"""The two servers, set up alike: file storage, an audit file, one core, the same content.

What lives here: starting, init, unseal, content, stopping. What never does: load.
Invariant: both serve the same 1,000 secrets to a token with the same policy; both write an audit
record for every request and every answer. The engine keeps its default: every acknowledged write
is fsynced; OpenBao's file storage does not fsync.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import hvac

from benchmarks.certificate import make_pair
from benchmarks.machine import cpu_seconds, pinned_to
from launcher.ports import free_ports

SECRETS = 1_000
VALUE_BYTES = 230
START_SECONDS = 30.0
ZVAULT = (sys.executable, "-m", "zvault.cli.main")
POLICY = """
path "kv/data/*" { capabilities = ["create", "read", "update"] }
path "auth/token/create" { capabilities = ["update"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
"""


class BenchError(Exception):
    """A server could not be set up; the message says where its log lies."""


@dataclass(frozen=True, slots=True)
class Access:
    """What the load needs."""

    address: str
    token: str = field(repr=False)
    role_id: str
    secret_id: str = field(repr=False)
    tls_address: str = ""
    ca_file: str = ""


@dataclass
class BenchServer:
    """One running server with its content."""

    name: str
    version: str
    address: str
    directory: Path
    process: "subprocess.Popen[bytes]"
    tls_address: str = ""
    ca_file: str = ""
    shares: list[str] = field(default_factory=list, repr=False)
    root_token: str = field(default="", repr=False)
    access: Access | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def audit_file(self) -> Path:
        return self.directory / "audit.log"

    def cpu_seconds(self) -> float:
        """Processor time used so far."""
        return cpu_seconds(self.process.pid)

    def resident_mib(self) -> float:
        """Memory that is really there."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def start_engine(
    directory: Path,
    core: int | None,
    prepare: "Prepare | None" = None,
    *,
    fsync: bool = True,
    is_first: bool = True,
    program: Sequence[str] = ZVAULT,
) -> BenchServer:
    """The embedded engine, its audit file switched on through the API at the first start.

    ``program``: what takes ``zvault``'s arguments.
    """
    command = [*program, "server", "--config", "config.hcl"]
    storage = "" if fsync else "zvault_unsafe_no_fsync = true"
    server = _start("engine", directory, command, core, audit="", storage=storage)
    client = _prepared(server, prepare or _prepare)
    if is_first:
        client.sys.enable_audit_device("file", options={"file_path": str(server.audit_file)})
    return server


def start_openbao(
    binary: Path, directory: Path, core: int | None, prepare: "Prepare | None" = None
) -> BenchServer:
    """OpenBao, its audit file declared in the configuration, as it wants it."""
    audit = f'audit "file" "file" {{ options {{ file_path = "{directory / "audit.log"}" }} }}\n'
    command = [str(binary), "server", "-config=config.hcl"]
    server = _start("openbao", directory, command, core, audit=audit)
    _prepared(server, prepare or _prepare)
    return server


Prepare = Callable[[BenchServer], hvac.Client]
"""Unseals a fresh server, gives it content and ``access``; the client carries the root token."""


def _prepared(server: BenchServer, prepare: Prepare) -> hvac.Client:
    try:
        return prepare(server)
    except BaseException:
        server.stop()
        raise


def _start(
    name: str,
    directory: Path,
    command: list[str],
    core: int | None,
    *,
    audit: str,
    storage: str = "",
) -> BenchServer:
    directory.mkdir(parents=True, exist_ok=True)
    port, tls_port = free_ports(2)
    pair = make_pair(directory)
    (directory / "data").mkdir(exist_ok=True)
    (directory / "config.hcl").write_text(
        f'storage "file" {{ path = "data" {storage} }}\n'
        f'listener "tcp" {{ address = "127.0.0.1:{port}" tls_disable = true }}\n'
        f'listener "tcp" {{ address = "127.0.0.1:{tls_port}" '
        f'tls_cert_file = "{pair.certificate}" tls_key_file = "{pair.key}" }}\n'
        f'api_addr = "http://127.0.0.1:{port}"\n{audit}'
    )
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(directory)},
            preexec_fn=pinned_to(core),
        )
    server = BenchServer(
        name,
        "",
        f"http://127.0.0.1:{port}",
        directory,
        process,
        tls_address=f"https://127.0.0.1:{tls_port}",
        ca_file=str(pair.ca),
    )
    deadline = time.monotonic() + START_SECONDS
    client = hvac.Client(url=server.address)
    while True:
        try:
            server.version = client.sys.read_seal_status()["version"]
            return server
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise BenchError(f"{name} did not start; see {directory}/server.log") from None
            time.sleep(0.05)


def _prepare(server: BenchServer) -> hvac.Client:
    """Init, unseal, mounts, secrets, policy, role; the client carries the root token."""
    client = hvac.Client(url=server.address)
    made = client.sys.initialize(secret_shares=1, secret_threshold=1)
    server.shares = made["keys_base64"]
    server.root_token = client.token = made["root_token"]
    if client.sys.submit_unseal_keys(made["keys"])["sealed"]:
        raise BenchError(f"{server.name} stayed sealed")
    client.sys.enable_secrets_engine("kv", path="kv", options={"version": "2"})
    client.sys.enable_auth_method("approle")
    client.sys.create_or_update_policy("bench", POLICY)
    client.auth.approle.create_or_update_approle(
        "bench", token_policies=["bench"], token_ttl="1h", token_max_ttl="4h"
    )
    value = "v" * VALUE_BYTES
    for number in range(SECRETS):
        client.secrets.kv.v2.create_or_update_secret(
            f"s/{number}", secret={"user": f"user-{number}", "value": value}, mount_point="kv"
        )
    server.access = Access(
        address=server.address,
        token=client.auth.token.create(policies=["bench"], ttl="4h")["auth"]["client_token"],
        role_id=client.auth.approle.read_role_id("bench")["data"]["role_id"],
        secret_id=client.auth.approle.generate_secret_id("bench")["data"]["secret_id"],
        tls_address=server.tls_address,
        ca_file=server.ca_file,
    )
    return client
