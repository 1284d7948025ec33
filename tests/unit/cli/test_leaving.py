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
    leave(end)
    raise
"""


def run(code: object, *, used: bool) -> tuple[int, bytes]:
    program = PROGRAM.format(src=str(ROOT / "src"), used=used, code=code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(("code", "expected"), [(8, 8), (0, 0), (None, 0), ("text", 1)])
def test_code_and_output_survive_when_the_s3_library_was_used(code: object, expected: int) -> None:
    assert run(code, used=True) == (expected, b"result")


def test_without_it_the_process_ends_as_ever() -> None:
    assert run(8, used=False)[0] < 0
