"""The programs of the gateway's bench: gateway, bare proxy, nginx, all before one upstream.

What lives here: starting each on its core, and the secrets that the gateway gets. What never does:
figures.
Invariant: the gateway is the command that runs in production, over an engine and a Redis; what it
proxies, checks and logs is what it would there. Only PostgreSQL is absent: no login is measured.
"""

import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from benchmarks.machine import Cores, pinned_to
from benchmarks.servers import BenchError
from launcher.ports import free_ports
from launcher.programs import beside_python, plain_environment
from launcher.redis_server import RedisServer
from zakupai_common.testing.controls import deliver
from zakupai_common.testing.engine import embedded_vault
from zakupai_gateway.gateway import AUDIENCE, SIGNING_KEYS, TABLE
from zakupai_gateway.service import SERVICE
from zakupai_gateway.tokens.access import AccessTokens, Issuance
from zakupai_gateway.tokens.keyring import KeyRing
from zakupai_gateway.tokens.rotation import first_signing_keys

_PLENTY = "{ requests = 10000000, seconds = 1 }"
_TABLE = f"""
[limits]
ip = {_PLENTY}
user = {_PLENTY}
key = {_PLENTY}
lookup = {_PLENTY}
[login]
ip = {_PLENTY}
account = {_PLENTY}
account_and_ip = {_PLENTY}
[refresh]
ip = {_PLENTY}
[[service]]
name = "billing"
limit = {_PLENTY}
[[service]]
name = "calc"
limit = {_PLENTY}
"""
_NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream calc {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://calc; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Stage:
    """Addresses; ``nginx`` is "" where there is none."""

    gateway: str
    bare: str
    nginx: str
    token: str
    redis: RedisServer
    redis_password: str
    pids: dict[str, int]
    """By the name of the proxy."""


@contextmanager
def staged(folder: Path, cores: Cores) -> Iterator[Stage]:
    """All of them, until the end. Raises BenchError."""
    upstream, gateway, bare, nginx, redis_port = free_ports(5)
    redis, password = RedisServer(folder / "redis", redis_port), secrets.token_urlsafe(24)
    with ExitStack() as stack:
        redis.start(password)
        stack.callback(redis.stop)
        process = redis.programs.running("redis")
        if process is not None and cores.load is not None:
            os.sched_setaffinity(process.pid, {cores.load})
        module = [sys.executable, "-m", "benchmarks.gateway.upstream", str(upstream)]
        stack.enter_context(_running(module, folder, cores.load, {}, upstream))
        vault = stack.enter_context(embedded_vault(folder / "vault"))
        ring = first_signing_keys()
        reads = []
        for declared in SERVICE.declared():
            value: object = secrets.token_urlsafe(24)
            if declared is SIGNING_KEYS:
                value = ring
            elif declared is SERVICE.redis_password:
                value = password
            reads.append(declared.path)
            fields = {str(one.key): "x" for one in SERVICE.declared() if one.path == declared.path}
            vault.put(declared.path, {**fields, str(declared.key): value})
        login = deliver(vault, vault.make_role("gateway", reads), folder)
        (folder / "table.toml").write_text(_TABLE)
        told = {
            "VAULT_ADDR": login.address,
            "VAULT_ROLE_ID_FILE": str(login.role_id_file),
            "VAULT_SECRET_ID_FILE": str(login.secret_id_file),
            "ZAKUPAI_PORT": str(gateway),
            "ZAKUPAI_REDIS_HOST": "127.0.0.1",
            "ZAKUPAI_REDIS_PORT": str(redis_port),
            "ZAKUPAI_DATABASE_HOST": "127.0.0.1",
            "ZAKUPAI_DATABASE_NAME": "absent",
            "ZAKUPAI_CALC_URL": f"http://127.0.0.1:{upstream}",
            "ZAKUPAI_BILLING_URL": f"http://127.0.0.1:{upstream}",
            TABLE: str(folder / "table.toml"),
        }
        command = [str(beside_python("zakupai-gateway")), "serve"]
        pids = {}
        pids["gateway"] = stack.enter_context(
            _running(command, folder, cores.server, told, gateway)
        )
        command = [sys.executable, "-m", "uvicorn", "benchmarks.gateway.bare:app"]
        command += ["--port", str(bare), "--no-access-log", "--no-server-header"]
        aim = {"BARE_UPSTREAM": f"http://127.0.0.1:{upstream}"}
        pids["bare aiohttp"] = stack.enter_context(
            _running(command, folder, cores.server, aim, bare)
        )
        there = which("nginx") or which("nginx", path="/usr/sbin")
        if there:
            config = folder / "nginx.conf"
            config.write_text(_NGINX.format(folder=folder, upstream=upstream, port=nginx))
            command = [there, "-c", str(config), "-p", str(folder)]
            pids["nginx"] = stack.enter_context(_running(command, folder, cores.server, {}, nginx))
        issuance = Issuance("zakupai-gateway", AUDIENCE, 3600)
        token = AccessTokens(issuance, lambda: KeyRing.read(ring)).issue("user", "free", (), "s")
        yield Stage(
            f"http://127.0.0.1:{gateway}",
            f"http://127.0.0.1:{bare}",
            f"http://127.0.0.1:{nginx}" if there else "",
            token,
            redis,
            password,
            pids,
        )


@contextmanager
def _running(
    command: list[str], folder: Path, core: int | None, told: Mapping[str, str], port: int
) -> Iterator[int]:
    name = Path(command[0]).name if command[0] != sys.executable else command[2]
    root = Path(__file__).parent.parent.parent
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**plain_environment(folder), "PYTHONPATH": str(root), **told},
            preexec_fn=pinned_to(core),
        )
    try:
        _wait(process, name, port)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", name: str, port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchError(f"{name} ended with {process.returncode}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            time.sleep(0.05)
            continue
        return
    raise BenchError(f"{name} does not answer")
