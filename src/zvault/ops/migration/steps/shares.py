"""The operator's own shares: tried on the storage before the server depends on them."""

from typing import Any

from zvault.ops.migration.world import CheckStep, World, await_answer, await_unsealed


class CheckShares(CheckStep):
    """An unsealed server says yes to any key, so the keyring is opened from storage."""

    name = "check-shares"

    def describe(self, world: World) -> str:
        return "open the keyring in storage with the operator's shares"

    async def act(self, world: World) -> dict[str, Any]:
        shares = await world.ports.credentials.shares()
        await world.ports.stores.check_shares(world.source.store_url, shares)
        return {"shares": len(shares)}


class UnsealByHand(CheckStep):
    """Submit the operator's shares and read ``sealed=false`` back."""

    name = "unseal-by-hand"

    def describe(self, world: World) -> str:
        return "unseal with the operator's shares and read it back"

    async def done(self, world: World) -> bool:
        facts = await world.ports.vault.seal_status(world.destination.target)
        return facts.reachable and not facts.sealed

    async def act(self, world: World) -> dict[str, Any]:
        target = world.destination.target
        await await_answer(world, target)
        await world.ports.vault.unseal(target, await world.ports.credentials.shares())
        return {"seconds": round(await await_unsealed(world, target), 3)}
