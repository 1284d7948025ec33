"""Vaults for the client's tests: the fake, the embedded engine, a real OpenBao.

The engine and OpenBao are started once for a worker; a test makes roles and paths of its own.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.openbao import OpenBao, running
from zakupai_common.secret import Secret
from zakupai_common.testing import FakeVault, RealVault
from zakupai_common.testing.controls import VaultControls
from zakupai_common.testing.fixtures import engine_vault, fake_vault
from zakupai_common.vault import Pace

__all__ = ["engine_vault", "fake_vault"]
KINDS = ("fake", "engine", "openbao")
QUICK = Pace(refresh=0.05, max_age=3600.0, start=20.0, first_wait=0.02, longest_wait=0.1)
"""Turns follow each other at once, so a test waits for what it wants to see and no longer."""
_numbers = itertools.count(1)


@dataclass
class BaoVault:
    """A real OpenBao: its process, and the controls that go over HTTP."""

    server: OpenBao
    controls: RealVault

    def restart(self) -> None:
        """kill -9, start, unseal."""
        self.server.kill()
        self.server.start()
        self.controls.unseal()


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoVault]:
    """One OpenBao for the worker, unsealed, with KV v2 at zakupai/ and AppRole."""
    root = tmp_path_factory.mktemp("bao")
    with running(root, root / "data") as server:
        status, made = server.request(
            "PUT", "sys/init", {"secret_shares": 3, "secret_threshold": 2}
        )
        assert status == 200
        keys = [Secret(key) for key in made["keys"]]
        controls = RealVault(server.address, Secret(made["root_token"]), keys)
        controls.unseal()
        controls.prepare()
        yield BaoVault(server, controls)


@pytest.fixture(params=KINDS)
def vault(request: pytest.FixtureRequest) -> Iterator[VaultControls]:
    """Each kind of Vault in turn."""
    if request.param == "fake":
        with FakeVault() as fake:
            yield fake
    elif request.param == "engine":
        yield request.getfixturevalue("engine_vault")
    else:
        yield request.getfixturevalue("openbao").controls


@pytest.fixture
def name() -> str:
    """A name that no other test of this worker uses, for a role and its paths."""
    return f"svc{next(_numbers)}"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Where credentials are delivered."""
    return tmp_path
