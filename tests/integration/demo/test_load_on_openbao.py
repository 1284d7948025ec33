"""The demo's load and its read-back against a real OpenBao: the model must be what servers do."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.load.client import Client
from demo.load.crew import Crew, CrewPlaces
from demo.load.ledger import LedgerReader
from demo.load.plan import plan_services
from demo.load.values import Values
from demo.looking import Looking
from demo.proof.world import originals
from tests.support.house import House, house

KEY = b"k" * 32


@dataclass
class Stage:
    """A house with a crew at work."""

    house: House
    crew: Crew
    looking: Looking

    def assert_equal(self) -> None:
        verdict = self.looking.all_while_working(self.crew)
        assert not verdict.findings, [str(finding) for finding in verdict.findings]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with house(tmp_path) as built:
        built.slot_a.start()
        built.unseal(built.slot_a)
        built.door.start()
        built.door.write_address_file(built.door.settings.plaintext_url)
        for folder in ("ledger", "private"):
            (tmp_path / folder).mkdir(mode=0o700)
        expected, address_file = built.golden.expected, built.door.settings.address_file
        client = Client(address_file, built.pki.ca)
        looking = Looking(
            originals(expected, Values(KEY), 6),
            LedgerReader(tmp_path / "ledger"),
            client,
            built.token,
            sorted(expected["approle"]),
        )
        first = looking.remember_originals(expected)
        assert not first.findings, [str(finding) for finding in first.findings]
        crew = Crew(
            CrewPlaces(
                tmp_path / "ledger",
                tmp_path / "private",
                tmp_path / "orders",
                address_file,
                built.pki.ca,
            )
        )
        shared = {
            path: secret.versions[secret.current].data or {}
            for path, secret in looking.world.secrets.items()
            if path.startswith("shared/")
        }
        try:
            crew.start(
                plan_services(expected, looking.world.secrets),
                shared=shared,
                values_key=KEY,
                pace_ms=25,
                seed="test",
            )
            yield Stage(built, crew, looking)
        finally:
            crew.kill()
            client.close()


def test_the_model_is_what_a_real_server_does_through_kills_and_restarts(stage: Stage) -> None:
    time.sleep(2)
    stage.assert_equal()
    with stage.crew.calm():
        for _ in range(3):
            time.sleep(0.3)
            killed = time.monotonic()
            stage.house.slot_a.kill()
            stage.looking.world.kills.append((killed, time.monotonic()))
            stage.house.slot_a.start()
            stage.house.unseal(stage.house.slot_a)
            time.sleep(0.3)
    stage.assert_equal()
    time.sleep(1)
    stage.assert_equal()
    stage.crew.stop()
    stage.looking.take_in()
    failed = [operation for operation in stage.looking.operations if not operation.ok]
    assert not failed, failed[:5]
    assert not stage.looking.ledger.unfinished()
    assert {operation.kind for operation in stage.looking.operations} >= {
        "kv.write",
        "kv.cas",
        "kv.patch",
        "kv.destroy",
        "kv.undelete",
        "login",
        "login.leave",
        "secret-id.gone",
        "token.revoke",
    }
