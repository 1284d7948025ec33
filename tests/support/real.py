"""Where the real servers are; a missing one fails in CI and is a named skip elsewhere."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
_PLACES = {
    "openbao-2.6.2": ROOT / ".servers" / "openbao-2.6.2" / "bin" / "bao",
    "seaweedfs": ROOT / ".venv" / "bin" / "weed",
    "caddy": ROOT / ".venv" / "bin" / "caddy",
}
_PACKAGES = {"prometheus": "prometheus", "promtool": "prometheus"}
"""Binaries that come with Debian packages."""


def require(server: str) -> Path:
    """The server's binary. Missing: fails when CI is set, otherwise skips and names it."""
    place = _PLACES.get(server)
    if place is None or not place.exists():
        found = shutil.which(server)
        place = Path(found) if found else None
    if place is not None and place.exists():
        return place
    package = _PACKAGES.get(server)
    fix = f"install Debian's package {package}" if package else "run `make servers`"
    if os.environ.get("CI"):
        pytest.fail(f"{server} is missing and CI skips nothing: {fix}")
    pytest.skip(f"{server} is missing: {fix}")
