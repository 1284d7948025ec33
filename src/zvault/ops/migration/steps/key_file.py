"""The encrypted key file: made from the operator's shares, proven against the storage."""

from typing import Any

from zvault.base.errors import ZvaultError
from zvault.ops.migration.world import CheckStep, World


class CreateKeyFile(CheckStep):
    """Make the key file, or prove the one that is there. Undoing removes only what it made."""

    name = "key-file"

    def describe(self, world: World) -> str:
        return "encrypt the shares into the key file and prove it against the store's keyring"

    async def done(self, world: World) -> bool:
        if not await world.ports.key_files.exists():
            return False
        try:
            await world.ports.key_files.prove(world.source.store_url)
        except ZvaultError:
            return False
        return True

    async def material(self, world: World) -> dict[str, Any]:
        return {"existed": await world.ports.key_files.exists()}

    async def act(self, world: World) -> dict[str, Any]:
        files = world.ports.key_files
        made = not await files.exists()
        if made:
            await files.create(world.source.store_url, await world.ports.credentials.shares())
        await files.prove(world.source.store_url)
        return {"made": made}

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        if not material["existed"] and await world.ports.key_files.exists():
            await world.ports.key_files.destroy()


class DestroyKeyFile(CheckStep):
    """Overwrite and remove the key file; there is no way back, so it comes after the commit."""

    name = "destroy-key-file"

    def describe(self, world: World) -> str:
        return "destroy the key file"

    async def done(self, world: World) -> bool:
        return not await world.ports.key_files.exists()

    async def act(self, world: World) -> dict[str, Any]:
        await world.ports.key_files.destroy()
        return {}
