"""How the demo speaks to its lanes: one file that each lane reads before every operation.

What lives here: the file's content, written atomically by the demo, and the line with which a lane
says that it has seen it and has nothing in flight that the new state forbids.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Orders:
    """``calm``: only operations that may safely be sent twice. ``paused``: services that wait."""

    epoch: int = 0
    calm: bool = False
    paused: tuple[str, ...] = ()
    stop: bool = False


def write_orders(path: Path, orders: Orders) -> None:
    """Replace the file; a reader sees the old or the new one."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(asdict(orders)))
    temporary.replace(path)


def read_orders(path: Path) -> Orders:
    """What the demo wants now."""
    raw = json.loads(path.read_text())
    return Orders(raw["epoch"], raw["calm"], tuple(raw["paused"]), raw["stop"])


def acknowledgement(lane: str, epoch: int) -> str:
    """The line a lane prints."""
    return f"seen {epoch} {lane}"


def parse_acknowledgement(line: str) -> tuple[str, int] | None:
    """Lane and epoch, or None for any other line."""
    word, _, rest = line.strip().partition(" ")
    epoch, _, lane = rest.partition(" ")
    return (lane, int(epoch)) if word == "seen" and lane and epoch.isdecimal() else None
