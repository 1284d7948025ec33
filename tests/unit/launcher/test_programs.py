"""Programs that stay: what a record names is what runs, and nobody else is ever signalled."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.programs import LauncherError, Programs, run_once
from zvault.base.process import identify


@pytest.fixture
def somebody() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is none of ours."""
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_pid_that_went_to_somebody_else_is_neither_running_nor_stopped(
    tmp_path: Path, somebody: "subprocess.Popen[bytes]"
) -> None:
    programs, found = Programs(tmp_path), identify(somebody.pid)
    assert found is not None
    record = tmp_path / "calc.process"
    record.write_text(json.dumps([found.pid, found.started]))
    assert programs.running("calc") == found
    record.write_text(json.dumps([found.pid, found.started - 1]))
    assert programs.running("calc") is None
    assert not programs.stop("calc")
    assert somebody.poll() is None
    assert programs.names() == []


def test_a_program_is_started_once_and_stopped(tmp_path: Path) -> None:
    programs = Programs(tmp_path / "run")
    first = programs.start("sleeper", ["/bin/sleep", "60"])
    try:
        assert programs.start("sleeper", ["/bin/sleep", "60"]) == first
        assert programs.names() == ["sleeper"]
    finally:
        assert programs.stop("sleeper")
    assert programs.running("sleeper") is None
    assert not programs.stop("sleeper")


def test_a_program_that_ends_at_once_is_named_with_its_last_words(tmp_path: Path) -> None:
    programs = Programs(tmp_path / "run")
    programs.start("calc", ["/bin/sh", "-c", "echo begun; echo no secret >&2"])
    with pytest.raises(LauncherError, match="calc ended at once: no secret"):
        programs.wait("calc", lambda: False)
    assert not programs.stop("calc")


def test_a_command_that_fails_is_named_with_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match=r"^sh ended with 3: second$"):
        run_once(["/bin/sh", "-c", "echo first >&2; echo second >&2; exit 3"], {})
    assert run_once(["/bin/sh", "-c", "echo told"], {}) == "told\n"
