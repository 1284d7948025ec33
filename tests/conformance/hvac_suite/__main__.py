"""``python -m tests.conformance.hvac_suite PLACE [MODULE…]``: run the suite, print the table.

``PLACE`` is the environment that the Makefile made: an interpreter with what the suite needs and
the sdist in ``source``. Named modules run alone (the verdict is about them). Exit code 0: every
promised test passed.
"""

import contextlib
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.conformance.hvac_suite.modules import MODULES, Module
from tests.conformance.hvac_suite.results import rows_of, summary

LIMIT_SECONDS = 900
PRIVATE_KEY = "tests/config_files/server-key.pem"


def unpack(place: Path, into: Path) -> Path:
    """The sdist's tree, fresh: what an earlier run or a hand changed is gone."""
    (archive,) = (place / "source").glob("hvac-*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(into, filter="data")
    (root,) = into.iterdir()
    key = root / PRIVATE_KEY
    print(f"chmod 600 {PRIVATE_KEY} ({stat.filemode(key.stat().st_mode)}: the server refuses it)")
    key.chmod(0o600)
    return root


def program(folder: Path) -> Path:
    """A folder for PATH with our server under the name ``vault``."""
    folder.mkdir()
    vault = folder / "vault"
    script = Path(__file__).parent / "vault_program.py"
    vault.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(script))} "$@"\n'
    )
    vault.chmod(0o755)
    return folder


def run(place: Path, modules: list[Module], scratch: Path) -> str:
    """Run pytest in the unpacked tree; the text of its JUnit file."""
    root = unpack(place, scratch / "sdist")
    junit = scratch / "junit.xml"
    (scratch / "tmp").mkdir()
    command = [
        str(place.resolve() / "bin" / "python"),
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "-W",
        "ignore",
    ]
    command += ["-o", "addopts=", "-n", "2", "--dist", "loadscope", f"--junitxml={junit}"]
    environment = {
        "PATH": f"{program(scratch / 'bin')}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(scratch),
        "TMPDIR": str(scratch / "tmp"),
    }
    suite = subprocess.Popen(
        [*command, *(module.path for module in modules)],
        cwd=root,
        env=environment,
        start_new_session=True,
    )
    try:
        suite.wait(LIMIT_SECONDS)  # the verdict is the table's; its exit code adds nothing
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(suite.pid, signal.SIGKILL)  # servers of a suite that did not end
        suite.wait()
    return junit.read_text()


def main(arguments: list[str]) -> int:
    """The exit code."""
    place, names = Path(arguments[0]), arguments[1:]
    modules = [m for m in MODULES if not names or any(name in m.name for name in names)]
    if not modules:
        print(f"no such module: {' '.join(names)}", file=sys.stderr)
        return 2
    scratch = Path(tempfile.mkdtemp(prefix="hvac-suite-"))
    try:
        rows = rows_of(run(place, modules, scratch), modules)
    finally:
        shutil.rmtree(scratch)
    print(summary(rows))
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
