"""OpenBao's own command line against the embedded server."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine_server import EngineServer, start_server
from tests.support.real import require


@dataclass
class Bao:
    """The command line with its environment."""

    binary: Path
    server: EngineServer
    home: Path

    def run(self, *arguments: str, token: str | None = None) -> "subprocess.CompletedProcess[str]":
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "BAO_ADDR": self.server.address,
            "BAO_TOKEN": self.server.token if token is None else token,
            "BAO_FORMAT": "json",
        }
        return subprocess.run(
            [self.binary, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def bao(tmp_path: Path) -> Iterator[Bao]:
    binary = require("openbao-2.6.2")
    server = start_server(tmp_path / "server")
    home = tmp_path / "home"
    home.mkdir()
    yield Bao(binary, server, home)
    assert server.stop() == 0
    assert "internal error" not in server.log


@pytest.mark.real("openbao-2.6.2")
def test_init_unseal_and_status(bao: Bao) -> None:
    assert bao.run("status").returncode == 2, "sealed"
    made = bao.json("operator", "init", "-key-shares=3", "-key-threshold=2")
    bao.server.token = made["root_token"]
    for key in made["unseal_keys_b64"][:2]:
        assert bao.run("operator", "unseal", key).returncode == 0
    status = bao.json("status")
    assert (status["sealed"], status["t"], status["n"]) == (False, 2, 3)


@pytest.mark.real("openbao-2.6.2")
def test_kv_tokens_and_policies_through_the_command_line(bao: Bao, tmp_path: Path) -> None:
    bao.server.initialize()
    assert bao.run("secrets", "enable", "-path=kv", "-version=2", "kv").returncode == 0
    written = bao.json("kv", "put", "-mount=kv", "app/db", "user=u", "password=p")
    assert written["data"]["version"] == 1
    assert bao.json("kv", "get", "-mount=kv", "app/db")["data"]["data"]["password"] == "p"
    assert bao.json("kv", "list", "-mount=kv", "app") == ["db"]
    assert bao.json("kv", "patch", "-mount=kv", "app/db", "user=w")["data"]["version"] == 2
    assert bao.json("kv", "get", "-mount=kv", "app/db")["data"]["data"]["user"] == "w"
    assert bao.run("kv", "delete", "-mount=kv", "app/db").returncode == 0
    assert bao.run("kv", "undelete", "-mount=kv", "-versions=2", "app/db").returncode == 0
    assert bao.json("token", "lookup")["data"]["policies"] == ["root"]
    policy = tmp_path / "policy.hcl"
    policy.write_text('path "kv/data/app/*" { capabilities = ["read"] }\n')
    assert bao.run("policy", "write", "app", str(policy)).returncode == 0
    assert "app" in bao.json("policy", "list")
    token = bao.json("token", "create", "-policy=app", "-ttl=1h")["auth"]["client_token"]
    allowed = bao.run("kv", "get", "-mount=kv", "app/db", token=token)
    assert allowed.returncode == 0, allowed.stderr
    refused = bao.run("kv", "put", "-mount=kv", "app/db", "user=x", token=token)
    assert refused.returncode == 2
    assert "permission denied" in refused.stderr
    assert bao.run("token", "revoke", token).returncode == 0
    assert bao.run("token", "lookup", token=token).returncode == 2
    assert bao.json("secrets", "list")["kv/"]["options"] == {"version": "2"}
