"""The agent's loop, step by step, against a Vault in memory."""

import io
import itertools
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.fake_vault import FakeVault
from tests.support.keyfiles import PASSWORD, make_key_file, make_shares
from zvault.base.clock import ManualClock
from zvault.base.errors import PreconditionError
from zvault.base.secret import Secret
from zvault.ops.unseal.agent import Agent
from zvault.ops.unseal.decide import Desired, Wait
from zvault.ops.unseal.errors import AgentRunningError, WrongPasswordError
from zvault.ops.unseal.material import KeyFileMaterial
from zvault.ops.unseal.passwords import FilePassword
from zvault.ops.unseal.report import SingleInstance, StatusJournal

SHARES = make_shares(5)


@dataclass
class FakeSupervisor:
    vault: FakeVault
    wanted: Desired = "running"
    alive: bool = True
    restarts: int = 0
    quicker: bool = False
    """Somebody else starts the server first."""
    log: list[str] = field(default_factory=list)

    def desired(self) -> Desired:
        return self.wanted

    def is_alive(self) -> bool:
        return self.alive

    def restart(self) -> bool:
        if self.quicker:
            return False
        self.restarts += 1
        self.alive = self.vault.reachable = self.vault.sealed = True
        return True

    def kill(self) -> None:
        self.alive = self.vault.reachable = False
        self.vault.pending = []


@dataclass
class Scene:
    vault: FakeVault
    supervisor: FakeSupervisor
    clock: ManualClock
    agent: Agent
    log: io.StringIO
    key_file: Path
    password_file: Path

    def steps(self, count: int) -> Wait:
        action = None
        for _ in range(count):
            action = self.agent.step()
            self.clock.advance(action.seconds if isinstance(action, Wait) else 0.01)
        assert isinstance(action, Wait)
        return action


def write_private(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    vault = FakeVault(SHARES)
    supervisor = FakeSupervisor(vault)
    clock, log = ManualClock(), io.StringIO()
    key_file = write_private(tmp_path / "key", make_key_file(SHARES[:3]))
    password_file = write_private(tmp_path / "password", PASSWORD.reveal() + b"\n")
    agent = Agent(
        watcher=vault,
        vault=vault,
        material=KeyFileMaterial(key_file, FilePassword(password_file)),
        clock=clock,
        journal=StatusJournal("http://127.0.0.1:1", tmp_path, clock, log),
        supervisor=supervisor,
        jitter=lambda: 1.0,
    )
    return Scene(vault, supervisor, clock, agent, log, key_file, password_file)


def test_a_killed_server_is_restarted_and_unsealed_and_the_time_is_reported(
    scene: Scene, tmp_path: Path
) -> None:
    scene.steps(3)
    assert not scene.vault.sealed
    scene.supervisor.kill()
    assert scene.steps(4).state == "unsealed"
    assert scene.supervisor.restarts == 1
    status = json.loads((tmp_path / "unseal-agent.json").read_text())
    assert (status["state"], status["sealed"], status["unseals"]) == ("unsealed", False, 2)
    assert 0 < status["last_unseal_seconds"] < 1
    assert "unsealed after" in scene.log.getvalue()


@pytest.mark.parametrize("wanted", ["stopped", "fenced"])
def test_a_server_stopped_on_purpose_stays_down(scene: Scene, wanted: Desired) -> None:
    scene.steps(3)
    scene.supervisor.wanted = wanted
    scene.supervisor.kill()
    assert scene.steps(50).state == "on-purpose"
    assert scene.supervisor.restarts == 0


def test_a_wrong_key_costs_one_round_and_no_more_until_the_file_changes(scene: Scene) -> None:
    write_private(scene.key_file, make_key_file(make_shares(3, seed=77)))
    assert scene.steps(200).state == "refused"
    assert (scene.vault.rounds, len(scene.vault.given)) == (1, 3)
    scene.key_file.unlink()
    write_private(scene.key_file, make_key_file(SHARES[:3]))
    assert scene.steps(5).state == "unsealed"


@pytest.mark.parametrize("damage", ["password", "bit", "cut", "iterations"])
def test_wrong_password_flipped_bit_truncation_and_lowered_iterations_submit_nothing(
    scene: Scene, damage: str
) -> None:
    content = scene.key_file.read_bytes()
    if damage == "password":
        write_private(scene.password_file, b"some other password of the right length\n")
    elif damage == "bit":
        write_private(scene.key_file, content[:-90] + bytes([content[-90] ^ 1]) + content[-89:])
    elif damage == "cut":
        write_private(scene.key_file, content[:-10])
    else:
        lowered = content.replace(b'"iterations": 250000', b'"iterations": 1000', 1)
        write_private(scene.key_file, lowered)
    assert scene.steps(100).state == "refused"
    assert scene.vault.given == []
    assert scene.log.getvalue().count("gives no more shares") == 1


def test_a_corrected_password_is_noticed(scene: Scene) -> None:
    write_private(scene.password_file, b"some other password of the right length\n")
    assert scene.steps(5).state == "refused"
    write_private(scene.password_file, PASSWORD.reveal())
    assert scene.steps(5).state == "unsealed"


def test_stale_progress_is_reset(scene: Scene) -> None:
    scene.vault.pending = [make_shares(1, seed=9)[0]]
    assert scene.steps(3).state == "unsealed"
    assert scene.vault.resets == 1


def test_a_second_seal_is_repaired_as_well(scene: Scene) -> None:
    scene.steps(3)
    scene.vault.sealed = True
    assert scene.steps(5).state == "unsealed"
    assert scene.agent.memory.unseals == 2


def test_once_raises_the_reason_when_it_cannot(scene: Scene) -> None:
    write_private(scene.password_file, b"some other password of the right length\n")
    with pytest.raises(WrongPasswordError):
        scene.agent.run_once(threading.Event(), 1.0)


def test_once_returns_when_it_is_read_back_unsealed(scene: Scene) -> None:
    scene.agent.run_once(threading.Event(), 5.0)
    assert not scene.vault.sealed


def test_a_key_file_that_others_can_read_is_refused_once(scene: Scene) -> None:
    scene.key_file.chmod(0o640)
    with pytest.raises(PreconditionError, match="0640"):
        scene.agent.run_once(threading.Event(), 1.0)
    assert scene.vault.given == []


def test_log_and_status_hold_no_share_and_no_password(scene: Scene, tmp_path: Path) -> None:
    scene.steps(5)
    said = scene.log.getvalue() + (tmp_path / "unseal-agent.json").read_text()
    for secret in [*SHARES, PASSWORD]:
        assert secret.reveal().hex() not in said
        assert secret.reveal() not in said.encode()


def test_two_agents_do_not_share_a_run_directory(tmp_path: Path) -> None:
    first = SingleInstance(tmp_path)
    with pytest.raises(AgentRunningError, match="pid"):
        SingleInstance(tmp_path)
    first.close()
    SingleInstance(tmp_path).close()


def test_a_secret_never_shows_in_the_material_or_the_agent(scene: Scene) -> None:
    assert PASSWORD.reveal_text() not in repr(scene.agent) + repr(scene.agent.material)
    assert isinstance(scene.agent.material.shares()[0], Secret)


def test_a_full_disk_under_status_file_and_log_does_not_end_the_agent(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zvault.ops.unseal.report.write_atomic", full)
    assert scene.steps(20).state == "unsealed"
    assert scene.log.getvalue().count("No space left on device") == 1
    monkeypatch.setattr(scene.log, "write", full)
    scene.vault.sealed = True
    assert scene.steps(20).state == "unsealed"


def test_a_server_that_somebody_else_started_first_is_no_restart_of_ours(
    scene: Scene, tmp_path: Path
) -> None:
    scene.steps(3)
    scene.supervisor.kill()
    scene.supervisor.quicker = True
    scene.steps(3)
    assert json.loads((tmp_path / "unseal-agent.json").read_text())["restarts"] == 0
    assert "somebody else started it" in scene.log.getvalue()


def test_a_restart_that_fails_is_tried_again_ever_more_slowly(scene: Scene) -> None:
    scene.steps(3)
    scene.supervisor.kill()
    tries: list[float] = []

    def fail() -> None:
        tries.append(scene.clock.monotonic())
        raise OSError(28, "No space left on device")

    scene.supervisor.restart = fail  # type: ignore[method-assign]
    scene.steps(100)
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert len(tries) > 3
    assert pauses == sorted(pauses)
    assert "the restart failed: the server: No space left" in scene.log.getvalue()
