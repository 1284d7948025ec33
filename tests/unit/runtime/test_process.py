"""Laws of a detached process: the record is true, a stopped one stays stopped, nothing leaks."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zvault.ops.runtime.api import Desired
from zvault.ops.runtime.embedded import EmbeddedRuntime
from zvault.ops.runtime.errors import (
    BrokenRecordError,
    OtherConfigurationError,
    ServerStartError,
    StopTimeoutError,
)
from zvault.ops.runtime.process import Command, DetachedProcess, clean_environment, last_lines

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time, sys\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]
SHOW_ENVIRONMENT = [
    sys.executable,
    "-c",
    "import os, time; print(sorted(os.environ), os.getcwd(), flush=True); time.sleep(60)",
]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[DetachedProcess]:
    process = DetachedProcess("server", tmp_path / "server.json", tmp_path / "log", tmp_path)
    yield process
    with contextlib.suppress(BrokenRecordError):
        kill_what_is_left(process)


def kill_what_is_left(process: DetachedProcess) -> None:
    seen = process.read().process
    if seen is not None and seen.alive():
        os.kill(seen.pid, signal.SIGKILL)


def pid_of(process: DetachedProcess) -> int:
    seen = process.read().process
    assert seen is not None
    return seen.pid


def wait_for_log(process: DetachedProcess, text: str) -> None:
    deadline = time.monotonic() + 10
    while text not in process.log_path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nothing_was_started_yet(sleeper: DetachedProcess) -> None:
    assert sleeper.read().desired == Desired.UNKNOWN
    assert not sleeper.alive()
    assert not sleeper.restart()


def test_a_started_process_is_recorded_by_itself_and_lives(sleeper: DetachedProcess) -> None:
    sleeper.start(Command(SLEEPER, clean_environment(), {"config": "x"}))
    assert sleeper.alive()
    assert sleeper.read().desired == Desired.RUNNING
    assert sleeper.read().label == {"config": "x"}
    assert Path(f"/proc/{pid_of(sleeper)}/stat").exists()


def test_starting_twice_leaves_one_process(sleeper: DetachedProcess) -> None:
    sleeper.start(Command(SLEEPER))
    first = pid_of(sleeper)
    sleeper.start(Command(SLEEPER))
    assert pid_of(sleeper) == first


def test_a_killed_process_is_restarted_as_it_was(sleeper: DetachedProcess) -> None:
    sleeper.start(Command(SLEEPER, clean_environment(), {"config": "x"}))
    first = pid_of(sleeper)
    os.kill(first, signal.SIGKILL)
    while sleeper.alive():
        time.sleep(0.01)
    assert sleeper.restart()
    assert pid_of(sleeper) != first
    assert sleeper.read().label == {"config": "x"}


@pytest.mark.parametrize("wish", [Desired.STOPPED, Desired.FENCED])
def test_a_process_stopped_on_purpose_is_not_restarted(
    sleeper: DetachedProcess, wish: Desired
) -> None:
    sleeper.start(Command(SLEEPER))
    sleeper.stop(wish, 10)
    assert not sleeper.alive()
    assert sleeper.read().desired == wish
    assert not sleeper.restart()


def test_the_wish_is_written_before_the_signal(sleeper: DetachedProcess) -> None:
    sleeper.start(Command(DEAF))
    wait_for_log(sleeper, "deaf")
    with pytest.raises(StopTimeoutError, match="still runs"):
        sleeper.stop(Desired.FENCED, 0.2)
    assert sleeper.read().desired == Desired.FENCED


def test_the_child_sees_a_clean_environment(
    sleeper: DetachedProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("B2_APPLICATION_KEY", "planted")
    sleeper.start(Command(SHOW_ENVIRONMENT, clean_environment({"EXTRA": "1"})))
    wait_for_log(sleeper, "EXTRA")
    seen = sleeper.log_path.read_text()
    assert "B2_APPLICATION_KEY" not in seen
    assert str(sleeper.working_directory) in seen


def test_a_program_that_does_not_exist_is_named(sleeper: DetachedProcess) -> None:
    # The launcher has written its record by then; what matters is that nothing is called alive.
    with contextlib.suppress(ServerStartError):
        sleeper.start(Command(["/nonexistent/program"]))
    deadline = time.monotonic() + 5
    while sleeper.alive():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(ServerStartError, match="not running"):
        sleeper.signal(signal.SIGHUP)


def test_a_recycled_pid_is_not_taken_for_ours(sleeper: DetachedProcess) -> None:
    sleeper.start(Command(SLEEPER))
    record = json.loads(sleeper.record_path.read_text())
    pid = record["process"]["pid"]
    record["process"]["started"] += 1
    sleeper.record_path.write_text(json.dumps(record))
    assert not sleeper.alive()
    record["process"] = {"pid": pid, "started": record["process"]["started"] - 1, "boot_id": "x"}
    sleeper.record_path.write_text(json.dumps(record))
    assert not sleeper.alive()
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1, "desired": "flying"}', '{"format": 99}']
)
def test_a_broken_record_is_named_and_not_guessed(sleeper: DetachedProcess, text: str) -> None:
    sleeper.record_path.write_text(text)
    with pytest.raises(BrokenRecordError):
        sleeper.read()


def test_the_record_is_private(sleeper: DetachedProcess) -> None:
    sleeper.start(Command(SLEEPER))
    assert sleeper.record_path.stat().st_mode & 0o777 == 0o600
    assert sleeper.log_path.stat().st_mode & 0o777 == 0o600


def test_the_record_lock_is_free_while_the_program_runs(sleeper: DetachedProcess) -> None:
    sleeper.start(Command(SLEEPER))
    before = time.monotonic()
    assert not sleeper.restart()
    assert time.monotonic() - before < 5


def test_the_end_of_a_log_is_one_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_lines(log) == ""
    log.write_text("a\n\nb\nc\nd\n")
    assert last_lines(log, 2) == "c / d"


def test_a_runtime_refuses_a_second_configuration(sleeper: DetachedProcess) -> None:
    runtime = EmbeddedRuntime(sleeper, [*SLEEPER], {}, 10)
    runtime.start(Path("one.hcl"), "http://127.0.0.1:1")
    assert runtime.observe().config_path == Path("one.hcl")
    assert runtime.desired() == "running"
    with pytest.raises(OtherConfigurationError, match=r"one\.hcl"):
        runtime.start(Path("two.hcl"), "http://127.0.0.1:1")
    runtime.fence()
    assert runtime.observe().desired is Desired.FENCED
    runtime.restart()
    assert not runtime.is_alive()
    runtime.start(Path("two.hcl"), "http://127.0.0.1:2")
    assert runtime.observe().address == "http://127.0.0.1:2"
    runtime.stop()
