"""The agent and the embedded server: a killed one comes back, one stopped on purpose does not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from launcher.ports import free_port
from tests.support.cli import command, environment
from tests.support.golden import Golden, unpack
from tests.support.golden_storage import shares_of
from tests.support.keyfiles import PASSWORD, make_key_file
from tests.support.real import ROOT
from zvault.base.secret import Secret
from zvault.ops.runtime.embedded import EmbeddedRuntime
from zvault.ops.runtime.process import DetachedProcess
from zvault.vaultapi.client import VaultApi


class House:
    """A store of a real Vault, the embedded server on it, and the files of an agent."""

    def __init__(self, root: Path, golden: Golden) -> None:
        self.golden, self.root, self.port = golden, root, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.config = root / "config.hcl"
        self.config.write_text(
            f'storage "file" {{ path = "{golden.data}" }}\n'
            f'listener "tcp" {{ address = "127.0.0.1:{self.port}"\n  tls_disable = true }}\n'
            'max_lease_ttl = "87600h"\n'
        )
        (root / "run").mkdir()
        self.log = root / "vault.log"
        self.record = root / "run" / "server.json"
        self.runtime = EmbeddedRuntime(
            DetachedProcess("server", self.record, self.log, root),
            (sys.executable, "-m", "zvault.cli.main", "server"),
            {"PYTHONPATH": str(ROOT / "src")},
            20.0,
        )
        self._private("key", make_key_file(shares_of(golden)[:3]))
        self._private("password", PASSWORD.reveal())

    def _private(self, name: str, content: bytes) -> None:
        (self.root / name).write_bytes(content)
        (self.root / name).chmod(0o600)

    def start(self) -> None:
        self.runtime.start(self.config, self.address)

    @property
    def pid(self) -> int:
        pid = self.runtime.observe().pid
        assert pid is not None
        return pid

    @contextmanager
    def agent(self) -> Iterator[None]:
        arguments = [
            *("--address", self.address, "--key-file", str(self.root / "key")),
            *("--password-file", str(self.root / "password"), "--run-dir", str(self.root / "run")),
            *("--server-record", str(self.record), "--server-log", str(self.log)),
        ]
        with (self.root / "agent.log").open("ab") as log:
            process = subprocess.Popen(
                command("unseal-agent", *arguments),
                stdout=log,
                stderr=log,
                cwd=self.root,
                env=environment(),
            )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)

    def status(self) -> dict[str, object]:
        try:
            return dict(json.loads((self.root / "run" / "unseal-agent.json").read_text()))
        except FileNotFoundError:
            return {}

    def is_unsealed(self) -> bool:
        try:
            return not VaultApi(self.address, timeout=2).seal_status().sealed
        except Exception:
            return False

    def said(self) -> str:
        return (self.root / "agent.log").read_text() + self.log.read_text()


def until(true: Callable[[], bool], house: House, seconds: float = 30) -> float:
    begin = time.monotonic()
    while not true():
        assert time.monotonic() - begin < seconds, house.said()
        time.sleep(0.02)
    return time.monotonic() - begin


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, unpack("vault-file", tmp_path))
    try:
        yield made
    finally:
        made.runtime.stop()


@pytest.mark.row("A2")
@pytest.mark.row("C3")
def test_a_killed_server_is_restarted_and_unsealed_far_under_thirty_seconds(house: House) -> None:
    house.start()
    with house.agent():
        until(house.is_unsealed, house)
        for _ in range(2):
            before = house.pid
            os.kill(before, signal.SIGKILL)
            took = until(house.is_unsealed, house)
            assert took < 30
            assert house.pid != before
        root = VaultApi(house.address, token=Secret(house.golden.expected["root_token"]))
        assert root.lookup_self()["policies"] == ["root"]
    assert house.status()["restarts"] == 2


def test_a_server_stopped_or_fenced_on_purpose_stays_down(house: House) -> None:
    house.start()
    with house.agent():
        until(house.is_unsealed, house)
        house.runtime.stop()
        until(lambda: house.status().get("state") == "on-purpose", house)
        time.sleep(1.5)
        assert not house.runtime.observe().alive
        house.start()
        until(house.is_unsealed, house)
        house.runtime.fence()
        until(lambda: house.status().get("reason") == "the server is fenced", house)
        time.sleep(1.5)
        assert not house.runtime.observe().alive
    assert house.status()["restarts"] == 0


def test_a_squatter_of_the_same_user_on_a_dead_servers_port_gets_nothing(house: House) -> None:
    """The uid is right, so only the record tells it apart: it is not the recorded process."""
    house.start()
    with house.agent():
        until(house.is_unsealed, house)
    os.kill(house.pid, signal.SIGKILL)
    until(lambda: not house.runtime.observe().alive, house)
    squatter = subprocess.Popen(
        [sys.executable, "-I", "-c", SQUATTER, str(house.port)],
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    assert squatter.stdout is not None
    try:
        assert squatter.stdout.readline() == b"up\n"
        with house.agent():
            until(lambda: "it got nothing" in house.said(), house)
    finally:
        squatter.kill()
        squatter.wait()
    reports = squatter.stdout.read().split()
    squatter.stdout.close()
    assert set(reports) == {b"0"}


SQUATTER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("up", flush=True)
while True:
    connection, _ = listener.accept()
    connection.settimeout(2)
    seen = 0
    try:
        while chunk := connection.recv(65536):
            seen += len(chunk)
    except OSError:
        pass
    print(seen, flush=True)
    connection.close()
"""
