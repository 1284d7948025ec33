"""How a server runs: the protocol, and what an observer sees.

What lives here: the words of every runtime (embedded now; a binary or a container later). What
never does: starting anything.
Invariant: the desired state is written before the act it announces, so whoever looks in between
(the unsealer above all) never brings back a server that is being stopped on purpose.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class Desired(StrEnum):
    """What the operator wants of the process; ``unknown`` when nobody has said anything yet."""

    RUNNING = "running"
    STOPPED = "stopped"
    FENCED = "fenced"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One look at a server's process; ``config_path`` and ``address`` are of its last start."""

    desired: Desired
    alive: bool
    pid: int | None
    config_path: Path | None
    address: str | None
    last_words: str = ""
    """The end of its log when it is dead."""


class Runtime(Protocol):
    """One server: at most one process of it runs at a time."""

    def observe(self) -> ServerFacts:
        """What is recorded and whether the process lives. Raises BrokenRecordError."""
        ...

    def start(self, config_path: Path, address: str, *, fenced: bool = False) -> None:
        """Desired = running; starts unless it already runs with that configuration.

        ``fenced``: desired = fenced instead, so it stays sealed and is not restarted until a
        ``start`` without it. Raises ServerStartError when it ends at once,
        OtherConfigurationError when one with another configuration runs.
        """
        ...

    def stop(self) -> None:
        """Desired = stopped; SIGTERM; returns when the process is gone. Raises StopTimeoutError."""
        ...

    def fence(self) -> None:
        """As ``stop`` with desired = fenced: only a migration may start it again."""
        ...

    def reload(self) -> None:
        """SIGHUP: reopen audit files, take new certificates. Raises ServerStartError if dead."""
        ...
