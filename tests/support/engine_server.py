"""The embedded server as a process of its own, for tests that want the real thing."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launcher.ports import free_port

START_SECONDS = 30.0
COMMAND = [sys.executable, "-m", "zvault.cli.main", "server"]


@dataclass
class EngineServer:
    """One running server; ``stop`` it."""

    directory: Path
    address: str
    process: "subprocess.Popen[bytes]"
    keys: list[str] = field(default_factory=list)
    token: str = ""

    @property
    def log(self) -> str:
        """What it wrote to standard error."""
        return (self.directory / "server.err").read_text()

    def request(
        self, method: str, path: str, body: Any = None, token: str | None = None
    ) -> tuple[int, Any]:
        """One call; the JSON of the answer or None."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Vault-Token": self.token if token is None else token}
        call = urllib.request.Request(
            f"{self.address}/v1/{path}", data=data, method=method, headers=headers
        )
        try:
            with urllib.request.urlopen(call, timeout=30) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read()
        return status, json.loads(text) if text else None

    def initialize(self, shares: int = 1, threshold: int = 1) -> None:
        """Init and unseal; keeps keys and root token."""
        status, made = self.request(
            "PUT", "sys/init", {"secret_shares": shares, "secret_threshold": threshold}
        )
        assert status == 200, made
        self.keys, self.token = made["keys"], made["root_token"]
        self.unseal()

    def unseal(self) -> None:
        """Submit shares until it is open."""
        for key in self.keys:
            status, state = self.request("PUT", "sys/unseal", {"key": key})
            assert status == 200, state
            if not state["sealed"]:
                return
        raise AssertionError("stayed sealed")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal and wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def start_server(
    directory: Path,
    storage: str = 'storage "inmem" {}',
    listener: str = "tls_disable = true",
    extra: str = "",
    environment: dict[str, str] | None = None,
    port: int = 0,
) -> EngineServer:
    """Start and wait until it answers. ``listener``: fields besides the address."""
    directory.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    config = directory / "config.hcl"
    config.write_text(
        f'{storage}\nlistener "tcp" {{\n address = "127.0.0.1:{port}"\n {listener}\n}}\n'
        f'zvault_shutdown_drain = "50ms"\n{extra}\n'
    )
    with (directory / "server.out").open("wb") as out, (directory / "server.err").open("wb") as err:
        process = subprocess.Popen(
            [*COMMAND, "--config", str(config)],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={"PATH": os.environ.get("PATH", ""), **(environment or {})},
        )
    scheme = "http" if "tls_disable = true" in listener else "https"
    server = EngineServer(directory, f"{scheme}://127.0.0.1:{port}", process)
    deadline = time.monotonic() + START_SECONDS
    while b"started!" not in (directory / "server.out").read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            server.stop(signal.SIGKILL)
            raise AssertionError(f"the server did not start: {server.log}")
        time.sleep(0.02)
    return server
