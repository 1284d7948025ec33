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
        held, limit = world.hold.so_far(world.ports.machine.monotonic()), world.limits.hold_seconds
        # Later than this, the front door has begun to answer 503: better the old stage at once.
        if world.parameters.moves_store and held.seconds > limit:
            raise HeldTooLongError(
                f"clients have waited {held.seconds:.0f} s, the limit is {limit:.0f} s"
                f" ({held.describe()})",
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
        return {"held_seconds": held.seconds}

    def _retired(self, world: World, before: tuple[Retired, ...]) -> tuple[Retired, ...]:
        kept = tuple(old for old in before if old.url != world.destination.store_url)
        if not world.parameters.moves_store:
            return kept
        now_ns = world.ports.machine.now_ns()
        return (*kept, Retired(world.source.store_url, world.parameters.run, now_ns))
