"""Clients change their scheme: told the new address, waited for, and the old way closed."""

from typing import Any

from zvault.ops.migration.errors import ClientsNotMovedError
from zvault.ops.migration.world import CheckStep, World, await_quiet


class MoveClients(CheckStep):
    """The address file names the destination's scheme, after that scheme was seen to answer."""

    name = "move-clients"

    def describe(self, world: World) -> str:
        return f"send clients to {world.destination.stage.scheme} through their address file"

    async def done(self, world: World) -> bool:
        seen = await world.ports.front_door.observe()
        return (seen.client_url or "").startswith(world.destination.stage.scheme + "://")

    async def act(self, world: World) -> dict[str, Any]:
        scheme = world.destination.stage.scheme
        if not await world.ports.front_door.answers(scheme):
            raise ClientsNotMovedError(
                f"the front door does not answer over {scheme}", hint="zvault frontdoor status"
            )
        await world.ports.front_door.send_clients(scheme)
        return {}

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        await world.ports.front_door.send_clients(world.source.stage.scheme)
        # The way that opened for the run closes next; nobody may be on it then.
        await await_quiet(world, world.destination.stage.scheme)


class Quiet(CheckStep):
    """No request has come the old way for a while."""

    name = "quiet"

    def describe(self, world: World) -> str:
        return (
            f"wait until no request comes over {world.source.stage.scheme} for"
            f" {world.limits.quiet_seconds:g} s"
        )

    async def act(self, world: World) -> dict[str, Any]:
        seconds = await await_quiet(world, world.source.stage.scheme)
        return {"seconds": round(seconds, 3)}


class RefusePlaintext(CheckStep):
    """The plaintext site is closed, and a request over it is seen to be refused."""

    name = "refuse-plaintext"

    def describe(self, world: World) -> str:
        return "refuse plaintext and see a request refused"

    async def done(self, world: World) -> bool:
        door = world.ports.front_door
        return not (await door.observe()).plaintext_allowed and await door.refuses_plaintext()

    async def act(self, world: World) -> dict[str, Any]:
        await world.ports.front_door.allow_plaintext(False)
        if not await world.ports.front_door.refuses_plaintext():
            raise ClientsNotMovedError("plaintext is not refused", hint="zvault frontdoor status")
        return {}


class AllowPlaintext(CheckStep):
    """The plaintext site is open again, and a request over it is seen to be answered."""

    name = "allow-plaintext"

    def describe(self, world: World) -> str:
        return "let plaintext through again and see a request answered"

    async def done(self, world: World) -> bool:
        door = world.ports.front_door
        return (await door.observe()).plaintext_allowed and await door.answers("http")

    async def material(self, world: World) -> dict[str, Any]:
        return {"allowed": (await world.ports.front_door.observe()).plaintext_allowed}

    async def act(self, world: World) -> dict[str, Any]:
        await world.ports.front_door.allow_plaintext(True)
        if not await world.ports.front_door.answers("http"):
            raise ClientsNotMovedError("plaintext is not answered", hint="zvault frontdoor status")
        return {}

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        await world.ports.front_door.allow_plaintext(bool(material["allowed"]))
