"""What a step sees: the doors, the run, its two sides.

What lives here: the step protocol, and the waits that several steps share. What never does: an
order of steps (``planning.py``).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from zvault.ops.migration.errors import (
    ClientsNotMovedError,
    ServerSilentError,
    StillSealedError,
)
from zvault.ops.migration.model import Held, Limits, Parameters, Side, Target
from zvault.ops.migration.ports import Ports, SealFacts

_POLL_SECONDS = 0.05


@dataclass(slots=True)
class Hold:
    """Since when clients wait, in seconds of the monotonic clock; None outside of a hold.

    ``parts``: the steps done since, each with the seconds it took.
    """

    since: float | None = None
    parts: list[tuple[str, float]] = field(default_factory=list)

    def begin(self, now: float) -> None:
        """Clients wait from now on, unless they do already."""
        if self.since is None:
            self.since, self.parts = now, []

    def so_far(self, now: float) -> Held:
        """How long they have waited."""
        seconds = 0.0 if self.since is None else now - self.since
        return Held(round(seconds, 3), tuple(self.parts))

    def end(self) -> None:
        """They wait no longer."""
        self.since = None


@dataclass(frozen=True, slots=True)
class World:
    """One run's surroundings. ``say`` prints a line of progress."""

    ports: Ports
    parameters: Parameters
    source: Side
    destination: Side
    active_config_path: Path
    limits: Limits
    say: Callable[[str], None]
    hold: Hold = field(default_factory=Hold)


class Step(Protocol):
    """One piece of a migration. Steps do not know each other."""

    @property
    def name(self) -> str: ...

    def describe(self, world: World) -> str:
        """What it will do, as one sentence for the plan."""
        ...

    async def done(self, world: World) -> bool:
        """Whether reality already is as ``act`` would leave it. A check is never done."""
        ...

    async def material(self, world: World) -> dict[str, Any]:
        """What ``undo`` will need; taken and journalled before the act."""
        ...

    async def act(self, world: World) -> dict[str, Any]:
        """Do it and read it back; figures for the journal. May be called again after a kill."""
        ...

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        """Put back what a whole, half or not yet begun ``act`` left. May be called again."""
        ...


class CheckStep:
    """A step that changes nothing of its own: always to be done, nothing to undo."""

    async def done(self, world: World) -> bool:
        return False

    async def material(self, world: World) -> dict[str, Any]:
        return {}

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        return None


async def await_answer(world: World, target: Target) -> SealFacts:
    """Wait until the server answers. Raises ServerSilentError when it dies or stays silent."""
    machine = world.ports.machine
    deadline = machine.monotonic() + world.limits.start_wait_seconds
    while True:
        facts = await world.ports.vault.seal_status(target)
        if facts.reachable:
            return facts
        server = await world.ports.server.observe()
        if not server.alive or machine.monotonic() >= deadline:
            state = "does not answer" if server.alive else "ended"
            why = facts.reason if server.alive else server.last_words
            raise ServerSilentError(
                f"the server at {target.address} {state}" + (f": {why}" if why else ""),
                hint="look at the server's log",
            )
        await machine.sleep(_POLL_SECONDS)


async def await_unsealed(world: World, target: Target) -> float:
    """Wait until ``sealed`` is read back as false; seconds it took. Raises StillSealedError."""
    machine = world.ports.machine
    begin = machine.monotonic()
    while True:
        facts = await world.ports.vault.seal_status(target)
        if facts.reachable and not facts.sealed:
            return machine.monotonic() - begin
        if machine.monotonic() - begin >= world.limits.unseal_wait_seconds:
            raise StillSealedError(
                f"the server at {target.address} is still sealed after"
                f" {world.limits.unseal_wait_seconds:.0f} s",
                hint="look at the unseal agent's log",
            )
        await machine.sleep(_POLL_SECONDS)


async def is_serving(world: World, side: Side) -> bool:
    """Whether the server of that side runs and is unsealed."""
    seen = await world.ports.server.observe()
    if not seen.alive or seen.config_path != side.config_path:
        return False
    facts = await world.ports.vault.seal_status(side.target)
    return facts.reachable and not facts.sealed


async def ensure_running(world: World, side: Side) -> None:
    """Start the server of that side unless it runs; wait until it answers."""
    await world.ports.server.start(side.config_path, side.target)
    await await_answer(world, side.target)


async def await_quiet(world: World, scheme: str) -> float:
    """Wait until no request has come over ``scheme`` for the declared while; seconds it took.

    Raises ClientsNotMovedError when requests keep coming.
    """
    machine, door = world.ports.machine, world.ports.front_door
    begin = machine.monotonic()
    seen, since = await door.requests_seen(scheme), begin
    while machine.monotonic() - since < world.limits.quiet_seconds:
        if machine.monotonic() - begin > world.limits.quiet_wait_seconds:
            raise ClientsNotMovedError(
                f"requests still arrive over {scheme}",
                hint="a client does not read its address file; move it, then zvault resume",
            )
        await machine.sleep(_POLL_SECONDS)
        now = await door.requests_seen(scheme)
        if now != seen:
            seen, since = now, machine.monotonic()
    return machine.monotonic() - begin
