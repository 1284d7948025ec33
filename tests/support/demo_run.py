"""Runs of the demo as a program, and what they said."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.real import ROOT, require


@dataclass(frozen=True)
class Told:
    """What a run of the demo said."""

    code: int
    text: str
    report: dict[str, Any]
    page: str


def run_demo(place: Path, *options: str, timeout_seconds: float = 900) -> Told:
    """One run with a work directory and reports of its own."""
    for server in ("openbao-2.6.2", "seaweedfs", "caddy"):
        require(server)
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "demo", "--work", str(place / "work")),
            *("--reports", str(place), *options),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
    )
    report = place / "demo-report.json"
    assert report.exists(), done.stdout + done.stderr
    return Told(
        done.returncode,
        done.stdout,
        json.loads(report.read_text()),
        (place / "demo-report.html").read_text(),
    )
