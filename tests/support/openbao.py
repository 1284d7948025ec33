"""A real OpenBao on a file store, started and stopped by pid; for integration tests."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launcher.ports import free_port
from tests.support.real import require

VERSION = "openbao-2.6.2"


@dataclass
class OpenBao:
    """One server process; ``data`` is its file store, ``address`` its listener."""

    root: Path
    data: Path
    port: int
    tls_cert: Path | None = None
    tls_key: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    more: dict[str, Any] = field(default_factory=dict)
    """Further fields of its configuration."""

    @property
    def address(self) -> str:
        return f"{'https' if self.tls_cert else 'http'}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start it sealed and wait until its port answers."""
        config = self.root / "bao.json"
        listener: dict[str, Any] = {"address": f"127.0.0.1:{self.port}", "tls_disable": True}
        if self.tls_cert:
            listener = {
                "address": f"127.0.0.1:{self.port}",
                "tls_cert_file": str(self.tls_cert),
                "tls_key_file": str(self.tls_key),
            }
        config.write_text(
            json.dumps(
                {
                    "storage": {"file": {"path": str(self.data)}},
                    "listener": {"tcp": listener},
                    "disable_mlock": True,
                    "max_lease_ttl": "87600h",
                    "api_addr": self.address,
                    **self.more,
                }
            )
        )
        with (self.root / "bao.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(require(VERSION)), "server", f"-config={config}"],
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(self.root)},
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, (self.root / "bao.log").read_text()
            with contextlib.suppress(OSError), contextlib.closing(_connect(self.port)):
                return
            time.sleep(0.05)
        raise AssertionError("OpenBao did not open its port in 30 s")

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """SIGTERM and wait."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def request(
        self, method: str, path: str, body: Any = None, token: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """One plain HTTP request; status and JSON body."""
        request = urllib.request.Request(
            f"{self.address}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Vault-Token": token} if token else {},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"{}")


def _connect(port: int) -> Any:
    import socket

    return socket.create_connection(("127.0.0.1", port), timeout=1)


@contextlib.contextmanager
def running(root: Path, data: Path, **options: Any) -> Iterator[OpenBao]:
    """A started (sealed) OpenBao on ``data``; stopped at the end."""
    require(VERSION)
    server = OpenBao(root, data, free_port(), **options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
