"""Processes known by pid and start time."""

import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from zvault.base.process import (
    ProcessIdentity,
    identify,
    is_alive,
    send_signal,
    spawn_detached,
    terminate,
    wait_gone,
)

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('deaf', flush=True); time.sleep(60)",
]


def start(argv: list[str], place: Path) -> ProcessIdentity:
    return spawn_detached(argv, cwd=place, env={}, log_path=place / "log")


def test_a_started_process_lives_in_its_own_session_and_ends_on_sigterm(tmp_path: Path) -> None:
    process = start(SLEEPER, tmp_path)
    assert is_alive(process)
    assert os.getsid(process.pid) == process.pid
    assert terminate(process, 5)
    assert not is_alive(process)


def test_the_log_is_for_the_owner_only(tmp_path: Path) -> None:
    process = start([sys.executable, "-c", "print('hello')"], tmp_path)
    assert wait_gone(process, 5)
    assert (tmp_path / "log").read_text() == "hello\n"
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_the_child_gets_no_environment_but_the_given(tmp_path: Path) -> None:
    process = spawn_detached(
        [sys.executable, "-c", "import os; print(sorted(os.environ))"],
        cwd=tmp_path,
        env={"ONLY": "this", "LC_ALL": "C.UTF-8"},
        log_path=tmp_path / "log",
    )
    assert wait_gone(process, 5)
    assert (tmp_path / "log").read_text() == "['LC_ALL', 'ONLY']\n"


def test_another_process_with_the_same_pid_is_not_it_and_gets_no_signal(tmp_path: Path) -> None:
    process = start(SLEEPER, tmp_path)
    other = replace(process, started=process.started - 1)
    assert not is_alive(other)
    assert not send_signal(other, signal.SIGKILL)
    assert is_alive(process)
    assert terminate(process, 5)


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    try:
        process = identify(child.pid)
        assert process is None or wait_gone(process, 5)
        assert identify(child.pid) is None
    finally:
        child.wait()


def test_a_deaf_process_is_reported_as_still_running(tmp_path: Path) -> None:
    process = start(DEAF, tmp_path)
    while "deaf" not in (tmp_path / "log").read_text():
        pass
    assert not terminate(process, 0.1)
    assert send_signal(process, signal.SIGKILL)
    assert wait_gone(process, 5)


def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        start([str(tmp_path / "absent")], tmp_path)


def test_a_log_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        start(SLEEPER, tmp_path)
