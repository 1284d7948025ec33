"""The embedded engine of zvault as a Vault for tests, when zvault is installed.

What lives here: start, init, unseal, stop. What never does: an import of zvault, which is a
command to us.
"""

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import hvac
import requests

from zakupai_common.secret import Secret
from zakupai_common.testing.real import RealVault

START_SECONDS = 60.0


class EngineMissingError(Exception):
    """zvault is not installed here."""


@contextlib.contextmanager
def embedded_vault(directory: Path, *, kv_version: int = 2) -> Iterator[RealVault]:
    """An engine in memory, unsealed, with KV at ``zakupai/`` and AppRole; gone at the end.

    ``directory`` gets its configuration and log. Raises EngineMissingError.
    """
    if importlib.util.find_spec("zvault") is None:
        raise EngineMissingError("zvault is not installed; the fake Vault needs nothing")
    directory.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    config = directory / "engine.hcl"
    config.write_text(
        f'storage "inmem" {{}}\nzvault_shutdown_drain = "50ms"\n'
        f'listener "tcp" {{\n  address = "127.0.0.1:{port}"\n  tls_disable = true\n}}\n'
    )
    with (directory / "engine.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "zvault.cli.main", "server", "--config", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ.get("PATH", "")},
        )
    try:
        yield _initialised(f"http://127.0.0.1:{port}", process, kv_version)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _initialised(address: str, process: "subprocess.Popen[bytes]", kv_version: int) -> RealVault:
    client = hvac.Client(url=address, token="", verify=True)
    try:
        _wait_for(client, process)
        made = client.sys.initialize(secret_shares=1, secret_threshold=1)
    finally:
        client.adapter.close()
    keys = [Secret(key) for key in made["keys"]]
    vault = RealVault(address, Secret(made["root_token"]), keys)
    vault.unseal()
    vault.prepare(kv_version)
    return vault


def _wait_for(client: hvac.Client, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.sys.read_seal_status()
        except requests.exceptions.ConnectionError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the engine did not start; see engine.log") from None
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
