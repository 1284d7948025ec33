"""Forward through a plan, and back.

What lives here: the loop that journals intent and outcome around every act, and its mirror that
puts back. What never does: knowing what a step is about.
Invariants: undo material and intent are on disk before the act, the outcome after it; a failure
before the commit is put back at once, after it the run stays open and leads forward; a kill
(BaseException) writes nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from zvault.base.errors import VerificationError, ZvaultError, system_sentence
from zvault.ops.migration.errors import MigrationInterruptedError, MigrationRolledBackError
from zvault.ops.migration.journal import Journal, Record
from zvault.ops.migration.ledger import DONE, ROLLED_BACK, Run, runs
from zvault.ops.migration.model import Side
from zvault.ops.migration.planning import (
    COMMIT,
    MILESTONES,
    RELEASES,
    STEPS,
    require_suffix,
    resume_index,
)
from zvault.ops.migration.world import World
from zvault.ops.runtime.api import Desired
from zvault.ops.stages.model import UnsealKind


@dataclass(slots=True)
class Execution:
    """One run being executed; ``run`` is what the journal held when it was taken up."""

    journal: Journal
    world: World
    run: Run

    async def forward(self) -> None:
        """Do what reality says is left to do.

        Raises MigrationRolledBackError (all was put back), MigrationInterruptedError (it was not).
        """
        try:
            for name in await self._remaining():
                await self._do(name)
                if name in RELEASES:
                    self._note_held()
            await self._require_arrived()
        except Exception as cause:
            await self._fail(cause)
        self._end(DONE)

    async def back(self) -> None:
        """Put back everything that was begun. Raises MigrationInterruptedError when that fails."""
        try:
            if not self._now().aborting:
                self._write("abort", "", {})
            now = self._now()
            for name in reversed(now.entered):
                self.world.say(f"putting back: {name}")
                await STEPS[name].undo(self.world, now.materials.get(name, {}))
                self._write("undone", name, {})
            await self._require_returned()
        except Exception as cause:
            raise MigrationInterruptedError(
                f"putting run {self.run.id} back stopped: {_sentence(cause)}",
                hint="mend that, then: zvault rollback",
            ) from cause
        self._end(ROLLED_BACK)

    async def committed(self) -> bool:
        """Whether reality says so: the site's state names this run."""
        return await STEPS[COMMIT].done(self.world)

    async def _remaining(self) -> Sequence[str]:
        begun = self.run.entered
        index = resume_index(
            self.run.plan,
            committed=await self.committed(),
            milestones={
                name: name in begun and await STEPS[name].done(self.world) for name in MILESTONES
            },
        )
        remaining = self.run.plan[index:]
        require_suffix(remaining, self.run.plan)
        return remaining

    async def _do(self, name: str) -> None:
        step, world = STEPS[name], self.world
        now = self._now()
        if await step.done(world):
            if name in now.entered and name not in now.outcomes:
                self._write("outcome", name, {"found_done": True})
            return
        world.say(step.describe(world))
        if name not in now.entered:
            self._write("undo", name, await step.material(world))
        self._write("intent", name, {})
        begin = world.ports.machine.monotonic()
        data = await step.act(world)
        seconds = round(world.ports.machine.monotonic() - begin, 3)
        if world.hold.since is not None:
            world.hold.parts.append((name, seconds))
        self._write("outcome", name, {**data, "took_seconds": seconds})

    def _note_held(self) -> None:
        """The server that clients wait for answers them from here on."""
        hold = self.world.hold
        if hold.since is None:
            return
        held = hold.so_far(self.world.ports.machine.monotonic())
        hold.end()
        self.world.say(f"clients waited {held.seconds:.1f} s: {held.describe()}")
        self._write("held", "", held.to_json())

    async def _fail(self, cause: Exception) -> NoReturn:
        """Decide by reality, not by how far we believe to be."""
        if await self.committed():
            raise MigrationInterruptedError(
                f"after the commit: {_sentence(cause)}",
                hint="mend that, then `zvault resume`; or turn back with `zvault rollback`",
            ) from cause
        self.world.say(f"failed: {_sentence(cause)}")
        try:
            await self.back()
        except MigrationInterruptedError as second:
            raise MigrationInterruptedError(
                f"{_sentence(cause)}; and then: {second.message}", hint=second.hint
            ) from cause
        number = self.world.source.stage.number
        # Only what served before was waited for and read back.
        served = self.world.parameters.source_serves
        now = f"stage {number} serves again" if served else f"stage {number} is as it was before"
        raise MigrationRolledBackError(
            f"{_sentence(cause)}; {now}",
            hint=getattr(cause, "hint", "") or "mend that, then begin again",
        ) from cause

    async def _require_arrived(self) -> None:
        await require_stage(self.world, self.world.destination)

    async def _require_returned(self) -> None:
        if self.world.parameters.source_serves:
            await require_stage(self.world, self.world.source)

    def _end(self, status: str) -> None:
        """The run's last line. Without it the run is open, whatever has been done."""
        try:
            self._write("end", "", {"status": status})
        except OSError as cause:
            way = "resume" if status == DONE else "rollback"
            raise MigrationInterruptedError(
                f"all is done but the journal's last line: {system_sentence(cause)}",
                hint=f"mend that, then: zvault {way}",
            ) from cause

    def _now(self) -> Run:
        return next(run for run in runs(self.journal.records) if run.id == self.run.id)

    def _write(self, kind: str, step: str, data: dict[str, Any]) -> None:
        now_ns = self.world.ports.machine.now_ns()
        self.journal.append(Record(self.run.id, now_ns, kind, step, data))


async def require_stage(world: World, side: Side) -> None:
    """Read back that this side is what serves. Raises VerificationError naming what is not so."""
    state = await world.ports.state.read()
    server = await world.ports.server.observe()
    seal = await world.ports.vault.seal_status(side.target)
    agent = await world.ports.agent.observe()
    wants_agent = side.stage.unseal is UnsealKind.AGENT
    problems = []
    if state is None or (state.stage, state.store_url) != (side.stage.number, side.store_url):
        problems.append(f"the active stage is not {side.stage.number}")
    if not server.alive or server.desired is not Desired.RUNNING:
        problems.append("the server is not running")
    elif server.config_path != side.config_path:
        problems.append(f"the server runs with {server.config_path}")
    if not seal.reachable or seal.sealed:
        problems.append("the server is sealed" if seal.reachable else "the server does not answer")
    if agent.alive != wants_agent:
        problems.append("the unseal agent " + ("is not running" if wants_agent else "is running"))
    if not problems:
        problems += await _door_problems(world, side)
    if problems:
        raise VerificationError("; ".join(problems), hint="zvault status")


async def _door_problems(world: World, side: Side) -> list[str]:
    """A server that nobody reaches serves nobody."""
    door, scheme = world.ports.front_door, side.stage.scheme
    if not (await door.observe()).running:
        return ["the front door is not running: zvault frontdoor start"]
    if not await door.answers(scheme):
        return [f"the front door does not answer over {scheme}"]
    return []


def _sentence(cause: BaseException) -> str:
    if isinstance(cause, ZvaultError):
        return cause.message
    # What an unforeseen error says is not ours to print: it could quote a value.
    if isinstance(cause, OSError):
        return system_sentence(cause)
    return f"unexpected {type(cause).__name__}"
