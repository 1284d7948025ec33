"""The embedded engine as a server process.

What lives here: ``zvault server --config FILE`` started, stopped, fenced, restarted through its
record ``<run>/server.json``. The unsealer uses ``desired``, ``is_alive`` and ``restart``; a
migration uses the Runtime protocol.
Invariant: a start while another configuration runs is refused; it never silently keeps the old one.
"""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zvault.ops.runtime.api import Desired, ServerFacts
from zvault.ops.runtime.errors import OtherConfigurationError
from zvault.ops.runtime.process import (
    Command,
    DetachedProcess,
    clean_environment,
    last_lines,
)


@dataclass(frozen=True, slots=True)
class EmbeddedRuntime:
    """One server. ``program`` is the command without its ``--config``, e.g. python -m zvault..."""

    process: DetachedProcess
    program: Sequence[str]
    environment: Mapping[str, str]
    stop_timeout_seconds: float

    def observe(self) -> ServerFacts:
        """See Runtime."""
        record = self.process.read()
        alive = record.process is not None and record.process.alive()
        config = record.label.get("config")
        return ServerFacts(
            desired=Desired(record.desired),
            alive=alive,
            pid=record.process.pid if alive and record.process else None,
            config_path=Path(config) if config else None,
            address=record.label.get("address"),
            last_words="" if alive else last_lines(self.process.log_path),
        )

    def start(self, config_path: Path, address: str, *, fenced: bool = False) -> None:
        """See Runtime. Returns when the process runs; it may still be opening its port."""
        seen = self.observe()
        if seen.alive and seen.config_path != config_path:
            raise OtherConfigurationError(
                f"a server with {seen.config_path} is running (pid {seen.pid})",
                hint="stop it first",
            )
        self.process.start(
            Command(
                arguments=[*self.program, "--config", str(config_path)],
                environment=clean_environment(self.environment),
                label={"config": str(config_path), "address": address},
            ),
            Desired.FENCED if fenced else Desired.RUNNING,
        )

    def stop(self) -> None:
        """See Runtime."""
        self.process.stop(Desired.STOPPED, self.stop_timeout_seconds)

    def fence(self) -> None:
        """See Runtime."""
        self.process.stop(Desired.FENCED, self.stop_timeout_seconds)

    def reload(self) -> None:
        """See Runtime."""
        self.process.signal(signal.SIGHUP)

    def desired(self) -> str:
        """For the unsealer: running, stopped, fenced or unknown."""
        return self.observe().desired.value

    def is_alive(self) -> bool:
        """For the unsealer."""
        return self.process.alive()

    def restart(self) -> None:
        """For the unsealer: start again what died; nothing when stopped, fenced or alive."""
        self.process.restart()
