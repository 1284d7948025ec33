"""Take a backup of the source and verify it before anything else is touched."""

from typing import Any

from zvault.ops.migration.world import CheckStep, World


class Backup(CheckStep):
    """A verified backup of this run. Undoing keeps it: a backup too many harms nobody."""

    name = "backup"

    def describe(self, world: World) -> str:
        return f"take a backup of {world.source.store_url}, read it back and open it offline"

    async def done(self, world: World) -> bool:
        latest = await world.ports.backups.latest_verified()
        # One dated later than now is not of this run, whatever its date.
        return latest is not None and (
            world.parameters.started_ns <= latest.taken_ns <= world.ports.machine.now_ns()
            and latest.store_url == world.source.store_url
        )

    async def act(self, world: World) -> dict[str, Any]:
        shares = await world.ports.credentials.unseal_shares()
        taken = await world.ports.backups.take(world.source.store_url, shares)
        return {"name": taken.name}
