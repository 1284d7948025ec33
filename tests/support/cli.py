"""The program as a user runs it: a process of its own, with its output and exit code."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.real import ROOT


@dataclass(frozen=True)
class Ran:
    """What came of a command."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def command(*arguments: str | Path) -> list[str]:
    """The command line of ``zvault ARGUMENTS``."""
    return [sys.executable, "-m", "zvault.cli.main", *map(str, arguments)]


def environment() -> dict[str, str]:
    """A clean one."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT / "src")}


def zvault(
    *arguments: str | Path,
    cwd: Path | None = None,
    timeout: float = 60,
    stdin: str = "",
    env: dict[str, str] | None = None,
) -> Ran:
    """Run it to its end."""
    done = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment() | (env or {}),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
