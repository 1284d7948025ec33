"""The entries: copied while serving, then the difference, compared, and proven by decryption."""

from collections.abc import Sequence
from typing import Any

from zvault.ops.migration.errors import NotEmptyError
from zvault.ops.migration.ports import are_different_vaults
from zvault.ops.migration.world import CheckStep, World
from zvault.ops.stages.model import StorageKind

_ROUNDS = 6
_LITTLE = 100
"""Entries: so many are copied and proven in the blink of an eye."""


async def _source_is_marked(world: World) -> bool:
    """Whether this run has put ``core/migration`` into the source."""
    source = await world.ports.stores.look(world.source.store_url)
    return source.marker == world.parameters.run


class CheckAccess(CheckStep):
    """A signed put, get, list and delete of a probe in the destination."""

    name = "check-access"

    def describe(self, world: World) -> str:
        return f"check access to {world.destination.store_url}: put, get, list and delete a probe"

    async def act(self, world: World) -> dict[str, Any]:
        await world.ports.stores.check_access(world.destination.store_url)
        return {}


class ClearRetired(CheckStep):
    """Empty a destination that an earlier run of this site left behind. No way back."""

    name = "clear-retired"

    def describe(self, world: World) -> str:
        return f"remove what an earlier run left in {world.destination.store_url}"

    async def done(self, world: World) -> bool:
        return (await world.ports.stores.look(world.destination.store_url)).empty

    async def act(self, world: World) -> dict[str, Any]:
        url = world.destination.store_url
        state = await world.ports.state.read()
        ours = {old.run for old in state.retired if old.url == url} if state else set()
        # The marker goes last, so half of it is still known as ours.
        if (await world.ports.stores.look(url)).marker not in ours:
            raise NotEmptyError(f"{url} is not what our earlier run left", hint="look at it first")
        await world.ports.stores.clear(url)
        return {}


class Copy(CheckStep):
    """The bulk, while the source serves. Undoing empties what was empty before."""

    name = "copy"

    def describe(self, world: World) -> str:
        return f"copy every entry to {world.destination.store_url} while the source serves"

    async def done(self, world: World) -> bool:
        # Behind the fence the delta covers whatever the bulk pass had not copied.
        return await _source_is_marked(world)

    async def material(self, world: World) -> dict[str, Any]:
        destination = await world.ports.stores.look(world.destination.store_url)
        if not destination.empty:
            raise NotEmptyError(
                f"{world.destination.store_url} already holds entries",
                hint="name an empty place; nothing was copied",
            )
        return {"empty": True}

    async def act(self, world: World) -> dict[str, Any]:
        return await world.ports.stores.copy(world.source.store_url, world.destination.store_url)

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        if not material["empty"]:
            return
        url = world.destination.store_url
        ours = await world.ports.stores.look(world.source.store_url)
        there = await world.ports.stores.look(url)
        if are_different_vaults(ours.fingerprint, there.fingerprint):
            # Empty when this run began, filled by somebody else while it stood still.
            world.say(f"{url} holds another Vault by now and is left alone")
            return
        await world.ports.stores.clear(url)


class CatchUp(CheckStep):
    """What changed while the copy was proven: copied, and decrypted from the destination.

    What is proven here and does not move again is not read at the fence: the less is left, the
    less clients wait. Putting back is the copy's: it empties the destination.
    """

    name = "catch-up"

    def describe(self, world: World) -> str:
        return "copy and prove what has changed meanwhile, while the source still serves"

    async def done(self, world: World) -> bool:
        # Behind the fence the delta does the same, on a source that stands still.
        return await _source_is_marked(world)

    async def act(self, world: World) -> dict[str, Any]:
        shares = await world.ports.credentials.unseal_shares()
        stores, url = world.ports.stores, world.destination.store_url
        rounds: list[int] = []
        while True:
            copied = await stores.copy(world.source.store_url, url)
            rounds.append(copied["read"])
            if len(rounds) > 1 and not _is_another_worth_it(rounds):
                # Copied last: to write an entry costs more at the fence than to decrypt it.
                return {**copied, "rounds": rounds}
            await stores.prove(url, shares, still=False)


def _is_another_worth_it(rounds: Sequence[int]) -> bool:
    """Whether less would be left after another round; clients write as fast as they write."""
    is_shrinking = rounds[-1] <= rounds[-2] / 2
    return rounds[-1] > _LITTLE and is_shrinking and len(rounds) < _ROUNDS


class Recover(CheckStep):
    """The content comes from a backup or a retired store, because the source is gone."""

    name = "recover"

    def describe(self, world: World) -> str:
        recovery = world.parameters.recovery
        origin = f"{recovery.kind} {recovery.name}" if recovery else "nothing"
        return f"fill {world.destination.store_url} from {origin}"

    async def act(self, world: World) -> dict[str, Any]:
        recovery = world.parameters.recovery
        if recovery is None:
            raise NotEmptyError("this run has nothing to recover from", hint="plan again")
        # A half-filled place of a killed run is ours: it is named after the run.
        await world.ports.stores.clear(world.destination.store_url)
        if recovery.kind == "store":
            await world.ports.stores.copy(recovery.name, world.destination.store_url)
        else:
            await world.ports.backups.restore(recovery, world.destination.store_url)
        return {"as_of_ns": recovery.as_of_ns}

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        await world.ports.stores.clear(world.destination.store_url)


class Mark(CheckStep):
    """``core/migration`` in the source: no server, ours or a real Vault, starts on it."""

    name = "mark"

    def describe(self, world: World) -> str:
        return "put core/migration into the source, so that no server starts on it"

    async def done(self, world: World) -> bool:
        return await _source_is_marked(world)

    async def act(self, world: World) -> dict[str, Any]:
        await world.ports.stores.put_marker(world.source.store_url, world.parameters.run)
        return {}

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        await world.ports.stores.remove_marker(world.source.store_url, world.parameters.run)


class Delta(CheckStep):
    """What changed since the bulk pass, deletions included."""

    name = "delta"

    def describe(self, world: World) -> str:
        return "copy what has changed since, deletions included"

    async def act(self, world: World) -> dict[str, Any]:
        return await world.ports.stores.sync(world.source.store_url, world.destination.store_url)


class Compare(CheckStep):
    """Both stores hold the same, entry by entry."""

    name = "compare"

    def describe(self, world: World) -> str:
        return "compare both stores, entry by entry"

    async def act(self, world: World) -> dict[str, Any]:
        return await world.ports.stores.compare(world.source.store_url, world.destination.store_url)


class ProveCopy(CheckStep):
    """Every entry of the bulk copy is read from the destination and decrypts; clients go on."""

    name = "prove-copy"

    def describe(self, world: World) -> str:
        return "read every entry of the copy back and decrypt it, offline"

    async def act(self, world: World) -> dict[str, Any]:
        shares = await world.ports.credentials.unseal_shares()
        url = world.destination.store_url
        proof = await world.ports.stores.prove(url, shares, still=False)
        return {"entries": proof.entries, "secrets": proof.secrets, "decrypted": proof.decrypted}


class Prove(CheckStep):
    """Every entry decrypts with this Vault's keys, and entries fit each other.

    Clients wait meanwhile. What the catch-up has decrypted and has not moved is not decrypted
    again. In a process that has not seen the copy nothing is known: then the side on this machine's
    disk is decrypted, because both sides are found equal right after.
    """

    name = "prove"

    def describe(self, world: World) -> str:
        return "every entry decrypts, offline, and they fit each other"

    async def act(self, world: World) -> dict[str, Any]:
        shares = await world.ports.credentials.unseal_shares()
        on_disk = world.destination.stage.storage is StorageKind.FILE
        recovered = world.parameters.recovery is not None
        known = world.ports.stores.is_known(world.destination.store_url)
        side = world.destination if on_disk or recovered or known else world.source
        proof = await world.ports.stores.prove(side.store_url, shares, still=True)
        return {"entries": proof.entries, "secrets": proof.secrets, "decrypted": proof.decrypted}
