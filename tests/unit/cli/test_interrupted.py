"""Ctrl-C has an exit code and no traceback, whenever it comes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.cli import command, environment
from tests.support.real import ROOT

AT_IMPORT = """
import sys
sys.path.insert(0, {src!r})
from zvault.cli.main import main

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupts())
sys.argv = ["zvault", {command!r}]
main()
"""


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("typer", "status"),
        ("zvault.cli.store", "status"),
        ("zvault.cli.server", "server"),
        ("zvault.ops.migration.journal", "status"),
    ],
)
def test_while_modules_are_imported(name: str, called: str) -> None:
    program = AT_IMPORT.format(src=str(ROOT / "src"), name=name, command=called)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"")


def test_while_a_command_works(tmp_path: Path) -> None:
    fifo = tmp_path / "zvault.toml"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        command("status"), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE
    )
    # It is past its imports when it opens the file; then it waits for what is never written.
    with fifo.open("wb"):
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, b"")
