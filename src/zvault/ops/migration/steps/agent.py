"""The unseal agent: on for a side, or off for good."""

from typing import Any

from zvault.ops.migration.world import CheckStep, World, await_unsealed
from zvault.ops.runtime.api import Desired


class AgentOn(CheckStep):
    """The agent watches the destination's server."""

    name = "agent-on"

    def describe(self, world: World) -> str:
        return f"start the unseal agent for {world.destination.target.address}"

    async def done(self, world: World) -> bool:
        seen = await world.ports.agent.observe()
        return seen.alive and seen.address == world.destination.target.address

    async def act(self, world: World) -> dict[str, Any]:
        await world.ports.agent.start(world.destination.target)
        return {}

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        await world.ports.agent.stop()


class AgentSwitch(CheckStep):
    """The agent leaves the source and waits for the destination's server.

    It is up before clients wait; while the server is fenced it gives no share and starts nothing.
    """

    name = "agent-switch"

    def describe(self, world: World) -> str:
        return f"let the unseal agent wait for {world.destination.target.address}"

    async def done(self, world: World) -> bool:
        seen = await world.ports.agent.observe()
        return seen.alive and seen.address == world.destination.target.address

    async def act(self, world: World) -> dict[str, Any]:
        await world.ports.agent.stop()
        await world.ports.agent.start(world.destination.target)
        return {}

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        await world.ports.agent.stop()
        await world.ports.agent.start(world.source.target)
        if world.parameters.source_serves:
            await await_unsealed(world, world.source.target)


class AgentOff(CheckStep):
    """Nobody unseals or restarts the server from now on."""

    name = "agent-off"

    def describe(self, world: World) -> str:
        return "stop the unseal agent"

    async def done(self, world: World) -> bool:
        seen = await world.ports.agent.observe()
        return not seen.alive and seen.desired is not Desired.RUNNING

    async def act(self, world: World) -> dict[str, Any]:
        await world.ports.agent.stop()
        return {}

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        await world.ports.agent.start(world.source.target)
        if world.parameters.source_serves:
            await await_unsealed(world, world.source.target)
