"""The demo is stopped by a signal in the middle of a migration: nothing it started stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.real import ROOT, require


def processes_of(work: Path) -> dict[int, str]:
    """Running processes whose command line or working directory lies in the work directory."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            command = (
                (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
            here = os.readlink(folder / "cwd")
        except OSError:
            continue
        if str(work) in command or here.startswith(str(work)):
            found[int(folder.name)] = command
    return found


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("number", "moment", "options"),
    [
        (signal.SIGTERM, "wait until the agent has unsealed it", ["--services"]),
        pytest.param(signal.SIGINT, "check access to", [], marks=pytest.mark.soak),
    ],
    ids=["SIGTERM with services", "SIGINT"],
)
def test_nothing_stays_and_the_exit_code_says_so(
    tmp_path: Path, number: signal.Signals, moment: str, options: list[str]
) -> None:
    for server in ("openbao-2.6.2", "seaweedfs", "caddy"):
        require(server)
    work, log = tmp_path / "work", tmp_path / "log"
    command = [sys.executable, "-m", "demo", "--work", work, "--reports", tmp_path, "--dwell", "0"]
    command += options
    with log.open("wb") as out:
        demo = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 1000
        while moment not in log.read_text(errors="replace"):
            assert demo.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)
        assert any(
            "zvault.cli.main unseal-agent" in command for command in processes_of(work).values()
        )
        demo.send_signal(number)
        time.sleep(0.2)
        demo.send_signal(number)  # an impatient one must not stop the tidying
        assert demo.wait(120) == 1
    finally:
        demo.kill()
        demo.wait()
        left = processes_of(work)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert left == {}
    assert "interrupted" in log.read_text()
