"""What the command line said, as a value."""

from dataclasses import dataclass
from pathlib import Path

from demo.place import ROOT


@dataclass(frozen=True)
class Options:
    """What the command line said. ``dwell_seconds``: load between two steps."""

    work: Path
    b2: bool = False
    entries: int = 0
    dwell_seconds: float = 5.0
    pace_ms: float = 60.0
    until: str = ""
    sabotage: tuple[str, ...] = ()
    seed: str = ""
    reports: Path = ROOT
    services: bool = False
