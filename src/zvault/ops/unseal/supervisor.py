"""The agent's view of an embedded server's process, through the runtime's record.

What lives here: the few questions the agent asks. What never does: stopping a server.
Invariant: what is stopped or fenced is never started; the runtime checks it once more under its
lock.
"""

from dataclasses import dataclass

from zvault.ops.runtime.process import DetachedProcess
from zvault.ops.unseal.decide import Desired


@dataclass(frozen=True, slots=True)
class RecordSupervisor:
    """The server that ``process`` records."""

    process: DetachedProcess

    def desired(self) -> Desired:
        """How it should be. Raises BrokenRecordError."""
        match self.process.read().desired:
            case "running":
                return "running"
            case "stopped":
                return "stopped"
            case "fenced":
                return "fenced"
        return "unknown"

    def is_alive(self) -> bool:
        """Whether the recorded process runs."""
        return self.process.alive()

    def restart(self) -> bool:
        """Start again what died; False when it needed nothing by then."""
        return self.process.restart()

    def pid(self) -> int | None:
        """The recorded process, which must hold the other end of our connection."""
        record = self.process.read()
        return record.process.pid if record.process is not None else None
