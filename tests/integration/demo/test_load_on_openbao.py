"""The demo's load and its read-back against a real OpenBao: the model must be what servers do."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hvac
import pytest

from demo.load.crew import Crew, CrewPlaces
from demo.load.ledger import LedgerReader, Operation
from demo.load.plan import plan_services, service_of
from demo.load.values import Values
from demo.proof.compare import compare_rest, compare_secret_ids, compare_secrets, compare_tokens
from demo.proof.findings import Verdict, joined
from demo.proof.reader import Reader
from demo.proof.world import Token, World, originals
from tests.support.house import House, house

KEY = b"k" * 32


@dataclass
class Stage:
    """A house with a crew at work."""

    house: House
    crew: Crew
    world: World
    reader: Reader
    ledger: LedgerReader
    done: list[Operation]

    def look(self) -> Verdict:
        """Everything compared, each service resting only while its own part is looked at."""
        services = sorted(self.house.golden.expected["approle"])
        parts = [compare_rest_of(self)]
        for service in [*services, "operator"]:
            with self.crew.paused(service):
                self.take_in()
                place = "operations/" if service == "operator" else f"services/{service}/"
                parts.append(compare_secrets(self.world, self.reader, place, ()))
                parts.append(
                    compare_tokens(
                        self.world,
                        self.reader,
                        lambda owner, service=service: service_of(owner) == service,
                    )
                )
                if service == "operator":
                    parts.append(compare_secret_ids(self.world, self.reader))
                    parts.append(compare_rest(self.world, self.reader))
        return joined(parts)

    def take_in(self) -> None:
        for operation in self.ledger.new_operations():
            self.done.append(operation)
            self.world.apply(operation)


def compare_rest_of(stage: Stage) -> Verdict:
    return compare_secrets(stage.world, stage.reader, "", ("services/", "operations/"))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with house(tmp_path) as built:
        built.slot_a.start()
        built.unseal(built.slot_a)
        built.door.start()
        built.door.write_address_file(built.door.settings.plaintext_url)
        client = hvac.Client(
            built.door.settings.plaintext_url, token=built.token, verify=str(built.pki.ca)
        )
        reader = Reader(client)
        world = originals(built.golden.expected, Values(KEY), reader.kv_max_versions())
        world.settings = reader.settings()
        world.policies |= {"default": reader.policies()["default"]}
        for accessor in reader.accessors() - set(world.tokens):
            world.tokens[accessor] = Token(accessor, "original")
        for folder in ("ledger", "private"):
            (tmp_path / folder).mkdir(mode=0o700)
        places = CrewPlaces(
            tmp_path / "ledger",
            tmp_path / "private",
            tmp_path / "orders",
            built.door.settings.address_file,
            built.pki.ca,
        )
        crew = Crew(places)
        shared = {
            path: secret.versions[secret.current].data or {}
            for path, secret in world.secrets.items()
            if path.startswith("shared/")
        }
        crew.start(
            plan_services(built.golden.expected, world.secrets),
            shared=shared,
            values_key=KEY,
            pace_ms=15,
            seed="test",
        )
        try:
            yield Stage(built, crew, world, reader, LedgerReader(places.ledger_dir), [])
        finally:
            crew.kill()
            client.adapter.close()


def assert_equal(stage: Stage) -> None:
    verdict = stage.look()
    told = [
        f"{finding} {[op for op in stage.done if finding.what.split(' ')[1] in str(op)]}"
        for finding in verdict.findings
    ]
    assert not told, "\n".join(told)


def test_the_model_is_what_a_real_server_does_through_kills_and_restarts(stage: Stage) -> None:
    assert_equal(stage)
    time.sleep(3)
    assert_equal(stage)
    with stage.crew.calm():
        for _ in range(3):
            time.sleep(0.3)
            killed = time.monotonic()
            stage.house.slot_a.kill()
            stage.world.kills.append((killed, time.monotonic()))
            stage.house.slot_a.start()
            stage.house.unseal(stage.house.slot_a)
            time.sleep(0.3)
    assert_equal(stage)
    time.sleep(2)
    verdict = stage.look()
    stage.crew.stop()
    stage.take_in()
    failed = [operation for operation in stage.done if not operation.ok]
    history = [
        str(op) for op in stage.done for bad in failed if bad.intent.get("accessor", "?") in str(op)
    ]
    assert not failed, "\n".join(history)
    assert not stage.ledger.unfinished()
    assert not verdict.findings, [str(finding) for finding in verdict.findings]
    assert {operation.kind for operation in stage.done} >= {
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
    print(len(stage.done), "operations", len(stage.world.replayed), "replayed", verdict)
