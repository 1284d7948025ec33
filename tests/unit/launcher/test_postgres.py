"""Who PostgreSQL runs as."""

import sys
from pathlib import Path

from launcher.postgres import drop_root
from launcher.programs import plain_environment, run_once

_LOOK = """
import os, sys
assert os.geteuid() != 0 and os.getuid() != 0
assert os.access(sys.argv[1], os.R_OK), "access(2) says no"
print(open(sys.argv[1]).read())
"""


def test_who_gave_up_root_still_reads_what_lies_in_roots_own_folders(tmp_path: Path) -> None:
    """A checkout in /root; PostgreSQL looks for its own programs with access(2)."""
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    (folder / "file").write_text("here")
    argv: list[str | Path] = [*drop_root(), sys.executable, "-c", _LOOK, folder / "file"]
    assert run_once(argv, plain_environment(tmp_path)).strip() == "here"
