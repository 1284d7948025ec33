"""The server's process: restarted in place, fenced, started on the destination, unsealed."""

from typing import Any

from zvault.ops.migration.errors import ServerSilentError, StillServingError
from zvault.ops.migration.model import Side
from zvault.ops.migration.world import (
    CheckStep,
    World,
    await_answer,
    await_unsealed,
    ensure_running,
    is_serving,
)
from zvault.ops.runtime.api import Desired


async def _runs(world: World, side: Side, desired: Desired = Desired.RUNNING) -> bool:
    seen = await world.ports.server.observe()
    return seen.alive and seen.desired is desired and seen.config_path == side.config_path


class Restart(CheckStep):
    """The same store under the new stage's configuration; the front door holds the clients."""

    name = "restart"

    def describe(self, world: World) -> str:
        return (
            "stop the server (it finishes what it has begun), start it with"
            f" {world.destination.config_path.name}; clients wait at the front door"
        )

    async def done(self, world: World) -> bool:
        return await _runs(world, world.destination)

    async def act(self, world: World) -> dict[str, Any]:
        world.hold.begin(world.ports.machine.monotonic())
        await world.ports.server.stop()
        await ensure_running(world, world.destination)
        return {}

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        by_hand = await world.ports.credentials.has_shares()
        agent = (await world.ports.agent.observe()).alive
        if by_hand and agent:
            # Two who give shares at a time spoil each other's round.
            await world.ports.agent.stop()
        if not await _runs(world, world.source):
            await world.ports.server.stop()
        await ensure_running(world, world.source)
        if await is_serving(world, world.source):
            return
        if by_hand:
            shares = await world.ports.credentials.shares()
            await world.ports.vault.unseal(world.source.target, shares)
        elif agent:
            await await_unsealed(world, world.source.target)


class Fence(CheckStep):
    """The source's server is stopped on purpose: nobody may start it but a migration.

    Its record alone proves nothing: with the record lost, the server would go on writing. So its
    address must be silent too.
    """

    name = "fence"

    def describe(self, world: World) -> str:
        return "fence: stop the server, so that nothing changes the source any more"

    async def done(self, world: World) -> bool:
        seen = await world.ports.server.observe()
        if seen.alive or seen.desired is not Desired.FENCED:
            return False
        return not (await world.ports.vault.seal_status(world.source.target)).reachable

    async def act(self, world: World) -> dict[str, Any]:
        world.hold.begin(world.ports.machine.monotonic())
        await world.ports.server.fence()
        if (await world.ports.vault.seal_status(world.source.target)).reachable:
            raise StillServingError(
                f"something still answers at {world.source.target.address}, and it is not the"
                " recorded server",
                hint="find who listens there (ss -ltnp) and stop it",
            )
        return {}

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        if world.parameters.source_serves:
            await ensure_running(world, world.source)
        else:
            # It did not serve before: bring the process back, expect nothing of it.
            await world.ports.server.start(world.source.config_path, world.source.target)


class Start(CheckStep):
    """The destination's server, sealed: what it holds is Vault's and it can read it.

    It is started fenced: the agent, which waits for it already, gives no share before the commit.
    """

    name = "start"

    def describe(self, world: World) -> str:
        return f"start the stage {world.destination.stage.number} server, sealed"

    async def done(self, world: World) -> bool:
        return await _runs(world, world.destination, Desired.FENCED)

    async def act(self, world: World) -> dict[str, Any]:
        side = world.destination
        await world.ports.server.start(side.config_path, side.target, fenced=True)
        facts = await await_answer(world, side.target)
        if not facts.initialized:
            raise ServerSilentError(
                f"the server at {side.target.address} finds no Vault in {side.store_url}",
                hint="compare the store's URL with the rendered configuration",
            )
        return {}

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        seen = await world.ports.server.observe()
        if seen.alive and seen.config_path == world.destination.config_path:
            await world.ports.server.fence()


class Unsealed(CheckStep):
    """``sealed=false`` is read back from the destination's server."""

    name = "unsealed"

    def describe(self, world: World) -> str:
        return "wait until the agent has unsealed it, and read it back"

    async def done(self, world: World) -> bool:
        return await is_serving(world, world.destination)

    async def act(self, world: World) -> dict[str, Any]:
        await ensure_running(world, world.destination)
        return {"seconds": round(await await_unsealed(world, world.destination.target), 3)}
