"""The exit code survives a library that aborts in the interpreter's teardown."""

import subprocess
import sys

import pytest

from tests.support.real import ROOT

PROGRAM = """
import atexit, os, sys
sys.path.insert(0, {src!r})
from zvault.cli.leaving import leave
atexit.register(os.abort)
if {used}:
    sys.modules["obstore"] = sys
try:
    sys.stdout.write("result")
    raise SystemExit({code!r})
except SystemExit as end:
    leave(end, at_once={at_once})
    raise
"""


def run(code: object, *, used: bool, at_once: bool = False) -> tuple[int, bytes]:
    program = PROGRAM.format(src=str(ROOT / "src"), used=used, code=code, at_once=at_once)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(("code", "expected"), [(8, 8), (0, 0), (None, 0), ("text", 1)])
def test_code_and_output_survive_when_the_s3_library_was_used(code: object, expected: int) -> None:
    assert run(code, used=True) == (expected, b"result")


def test_without_it_the_process_ends_as_ever() -> None:
    assert run(8, used=False)[0] < 0


def test_a_daemon_does_without_it() -> None:
    assert run(8, used=False, at_once=True) == (8, b"result")
