"""One mount as the pipeline sees it.

What lives here: entry, backend, view and special paths of a mount together, and the count of
requests inside it. Invariant: a mount that is going away lets nobody new in and ends only when the
last request has left.
"""

import asyncio
from dataclasses import dataclass, field

from zvault.barrier.view import View
from zvault.engine.api import Backend, Operation
from zvault.engine.mounts.router import PathSet
from zvault.engine.telemetry.metrics import Metrics, Summary
from zvault.records.mounts import AUTH, MountEntry


def prefix_of(entry: MountEntry) -> str:
    """The request prefix of a mount: ``secret/``, ``auth/approle/``."""
    return f"auth/{entry.path}" if entry.table == AUTH else entry.path


@dataclass(slots=True)
class Mounted:
    """A live mount."""

    entry: MountEntry
    backend: Backend
    view: View
    open_paths: PathSet = field(init=False)
    """Relative paths that need no token."""
    root_paths: PathSet = field(init=False)
    """Relative paths that need sudo."""
    inside: int = 0
    """Requests being served by the backend now."""
    leaving: bool = False
    _empty: asyncio.Event | None = None
    _timers: dict[str, Summary] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.open_paths = PathSet(self.backend.unauthenticated_paths)
        self.root_paths = PathSet(self.backend.root_paths)

    @property
    def is_reachable(self) -> bool:
        """Requests may go in."""
        return not self.leaving and not self.entry.tainted

    def timer(self, metrics: Metrics, operation: Operation) -> Summary:
        """The summary ``route_<operation>_<mount>`` of this mount."""
        name = operation.name
        found = self._timers.get(name)
        if found is None:
            parts = ("route", operation.value, prefix_of(self.entry))
            found = self._timers[name] = metrics.summary(parts)
        return found

    def leave(self) -> None:
        """One request is done."""
        self.inside -= 1
        if not self.inside and self._empty is not None:
            self._empty.set()

    async def close(self) -> None:
        """Let nobody in, wait for the last one, stop the backend."""
        self.leaving = True
        if self.inside:
            self._empty = asyncio.Event()
            await self._empty.wait()
        await self.backend.stop()
