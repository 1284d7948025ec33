"""The commit: one atomic file says which stage is active."""

from typing import Any

from zvault.ops.migration.errors import HeldTooLongError
from zvault.ops.migration.model import Retired, SiteState
from zvault.ops.migration.world import CheckStep, World


class Commit(CheckStep):
    """Before it everything is put back on failure, after it the way leads forward only."""

    name = "commit"

    def describe(self, world: World) -> str:
        return f"commit: stage {world.destination.stage.number} is active"

    async def done(self, world: World) -> bool:
        state = await world.ports.state.read()
        return state is not None and state.run == world.parameters.run

    async def act(self, world: World) -> dict[str, Any]:
        machine, hold = world.ports.machine, world.hold
        held = 0.0 if hold.since is None else machine.monotonic() - hold.since
        # Later than this, the front door has begun to answer 503: better the old stage at once.
        if world.parameters.moves_store and held > world.limits.hold_seconds:
            raise HeldTooLongError(
                f"clients have waited {held:.0f} s, the limit is {world.limits.hold_seconds:.0f} s",
                hint="raise limits.hold_seconds in zvault.toml, or migrate in a quiet hour",
            )
        before = await world.ports.state.read()
        await world.ports.state.write(
            SiteState(
                stage=world.destination.stage.number,
                store_url=world.destination.store_url,
                run=world.parameters.run,
                retired=self._retired(world, before.retired if before else ()),
            )
        )
        return {"held_seconds": round(held, 3)}

    def _retired(self, world: World, before: tuple[Retired, ...]) -> tuple[Retired, ...]:
        kept = tuple(old for old in before if old.url != world.destination.store_url)
        if not world.parameters.moves_store:
            return kept
        now_ns = world.ports.machine.now_ns()
        return (*kept, Retired(world.source.store_url, world.parameters.run, now_ns))
