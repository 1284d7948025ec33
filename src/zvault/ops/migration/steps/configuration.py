"""Configuration files: the stage's own before the commit, the active one after it."""

from typing import Any

from zvault.ops.migration.world import CheckStep, World


class Render(CheckStep):
    """Write the stage's file. Undoing puts the old text back, or removes the file."""

    name = "render"

    def describe(self, world: World) -> str:
        return f"render the stage {world.destination.stage.number} configuration"

    async def done(self, world: World) -> bool:
        side = world.destination
        return await world.ports.files.read(side.config_path) == side.config_text

    async def material(self, world: World) -> dict[str, Any]:
        return {"previous": await world.ports.files.read(world.destination.config_path)}

    async def act(self, world: World) -> dict[str, Any]:
        side = world.destination
        await world.ports.files.write(side.config_path, side.config_text)
        return {}

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        path, previous = world.destination.config_path, material["previous"]
        if previous is None:
            await world.ports.files.remove(path)
        else:
            await world.ports.files.write(path, previous)


class Activate(CheckStep):
    """The active configuration file holds what runs."""

    name = "activate"

    def describe(self, world: World) -> str:
        return f"make it the active configuration ({world.active_config_path.name})"

    async def done(self, world: World) -> bool:
        text = await world.ports.files.read(world.active_config_path)
        return text == world.destination.config_text

    async def act(self, world: World) -> dict[str, Any]:
        await world.ports.files.write(world.active_config_path, world.destination.config_text)
        return {}
