"""The command behind ``make services``, and what it set up, seen as its operator sees it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from launcher.estate import Estate
from launcher.place import ROOT, Place, place_at
from launcher.roster import SERVICES


def launcher(work: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command behind the Make target."""
    return subprocess.run(
        [sys.executable, "-m", "launcher", *words, "--work", str(work)],
        cwd=ROOT,
        env={"PATH": os.environ.get("PATH", ""), "HOME": str(work), **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def estate_at(work: Path) -> Estate:
    return Estate(place_at(work, [service.name for service in SERVICES]), SERVICES, print)


def secret_texts(estate: Estate) -> list[str]:
    """Every secret that a service or an operator holds here."""
    place: Place = estate.place
    kept = json.loads(place.keys_file.read_text())
    found = [kept["root_token"], *kept["shares"], estate.postgres.password_file.read_text()]
    for service in SERVICES:
        found.append(place.ids(service.name)[1].read_text())
        for declared in service.declared():
            value = estate.vault.read(declared.path).get(declared.key)
            if isinstance(value, str) and value != service.name:
                found.append(value)
    return found
