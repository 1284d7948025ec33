"""The canary: a role logs in, writes a unique value, reads it back."""

from typing import Any

from zvault.ops.migration.world import CheckStep, World


class Canary(CheckStep):
    """What a service would do, done against the destination's server."""

    name = "canary"

    def describe(self, world: World) -> str:
        return "canary: AppRole login, write, read back"

    async def act(self, world: World) -> dict[str, Any]:
        return await world.ports.vault.canary(world.destination.target, world.parameters.run)
