"""The server's certificate: from the private CA, checked before anything depends on it."""

from typing import Any

from zvault.ops.migration.errors import MigrationRefusedError
from zvault.ops.migration.world import CheckStep, World


class Certificate(CheckStep):
    """A pair that can serve. Undoing keeps it: the front door uses it in every stage."""

    name = "certificate"

    def describe(self, world: World) -> str:
        return "issue the server's certificate from the private CA and check it"

    async def done(self, world: World) -> bool:
        return not await world.ports.tls.problem()

    async def act(self, world: World) -> dict[str, Any]:
        await world.ports.tls.issue()
        problem = await world.ports.tls.problem()
        if problem:
            raise MigrationRefusedError(problem, hint="zvault tls check")
        return {}
