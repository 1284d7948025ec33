"""The canary: a role logs in, writes a unique value, reads it back."""

from typing import Any

from zvault.ops.migration.world import CheckStep, World, is_serving


class RehearseCanary(CheckStep):
    """The same against the source: a canary that fails there would say nothing about the rest."""

    name = "rehearse-canary"

    def describe(self, world: World) -> str:
        return "canary against the running server, before anything is touched"

    async def done(self, world: World) -> bool:
        # A run that has stopped the source is past this point.
        return not await is_serving(world, world.source)

    async def act(self, world: World) -> dict[str, Any]:
        return await world.ports.vault.canary(world.source.target, world.parameters.run)


class Canary(CheckStep):
    """What a service would do, done against the destination's server."""

    name = "canary"

    def describe(self, world: World) -> str:
        return "canary: AppRole login, write, read back"

    async def act(self, world: World) -> dict[str, Any]:
        return await world.ports.vault.canary(world.destination.target, world.parameters.run)
