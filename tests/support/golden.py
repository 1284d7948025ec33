"""Golden stores that real servers wrote: unpacked on demand, with what a reader must find."""

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STORES = Path(__file__).parent.parent / "museum" / "stores"


@dataclass(frozen=True)
class Golden:
    """One unpacked archive: ``root`` holds data/, objects/ or snapshot.tar.gz."""

    name: str
    root: Path
    expected: dict[str, Any]

    @property
    def data(self) -> Path:
        return self.root / "data"


def unpack(name: str, destination: Path) -> Golden:
    """Unpack archive ``name`` below ``destination`` (fresh copy, safe to write to)."""
    root = destination / name
    with tarfile.open(STORES / f"{name}.tar.gz") as archive:
        # The keyword of extractall came with 3.11.4; Debian 12 has 3.11.2.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(root)
    return Golden(name, root, json.loads((root / "expected.json").read_text()))
