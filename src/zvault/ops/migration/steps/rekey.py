"""New shares after stage 7, whose shares have been in people's hands.

What lives here: the rekey, and the key file made anew with its shares. Both come after the commit,
because there is no way back from them: the old shares are dead.
Invariant: whatever dies when, the shares in the operator's hands or those in the new file open the
store; what is left to do, ``resume`` does.
"""

from pathlib import Path
from typing import Any

from zvault.base.errors import PreconditionError, UsageError, VerificationError, ZvaultError
from zvault.ops.migration.world import CheckStep, World


class Rekey(CheckStep):
    """New shares in a new file, given back to the server before the old ones stop working."""

    name = "rekey"

    def describe(self, world: World) -> str:
        return (
            f"rekey: new shares into {world.parameters.options.rekey_file} (mode 0600), read back"
            " from there and proven; then the old ones stop working"
        )

    async def done(self, world: World) -> bool:
        shares = await world.ports.new_shares.in_file(_file(world))
        if not shares:
            return False
        try:
            await world.ports.stores.check_shares(world.destination.store_url, shares)
        except (VerificationError, UsageError, PreconditionError):
            return False  # not theirs; that the store cannot be read is no answer
        return True

    async def act(self, world: World) -> dict[str, Any]:
        ports, side = world.ports, world.destination
        if await ports.new_shares.exists(_file(world)):
            # Of a run that was killed. The server may still have ended it by itself.
            await ports.new_shares.cancel(side.target)
            if await self.done(world):
                return {"found_in_force": True}
            await ports.new_shares.set_aside(_file(world))
        old = await ports.credentials.unseal_shares()
        await ports.new_shares.make(side.target, side.store_url, old, _file(world))
        if not await self.done(world):
            raise VerificationError(
                f"the shares in {_file(world)} do not open {side.store_url}",
                hint="zvault store verify says more; keep the old shares",
            )
        return {}


class RenewKeyFile(CheckStep):
    """The key file holds the new shares, so the agent unseals with them."""

    name = "renew-key-file"

    def describe(self, world: World) -> str:
        return "put the new shares into the key file and prove it against the store's keyring"

    async def done(self, world: World) -> bool:
        try:
            await world.ports.key_files.prove(world.destination.store_url)
        except ZvaultError:
            return False
        return True

    async def act(self, world: World) -> dict[str, Any]:
        shares = await world.ports.new_shares.in_file(_file(world))
        await world.ports.key_files.renew(world.destination.store_url, shares)
        await world.ports.key_files.prove(world.destination.store_url)
        return {}


def _file(world: World) -> Path:
    return Path(world.parameters.options.rekey_file)
