"""The audit device: on and proven by a line, off, rotated once."""

from typing import Any

from zvault.ops.migration.errors import AuditNotProvenError
from zvault.ops.migration.world import CheckStep, World

_WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.05


async def _require_new_line(world: World, before: int) -> None:
    """Make an audited request and see its line. Raises AuditNotProvenError."""
    machine = world.ports.machine
    token = await world.ports.credentials.token()
    deadline = machine.monotonic() + _WAIT_SECONDS
    while True:
        path = await world.ports.vault.audit_path(world.destination.target, token)
        if path is not None and await world.ports.audit_file.size() > before:
            return
        if machine.monotonic() >= deadline:
            raise AuditNotProvenError(
                "the audit device is not listed" if path is None else f"{path} got no new line",
                hint="look at the server's log and at the folder's permissions",
            )
        await machine.sleep(_POLL_SECONDS)


class AuditOn(CheckStep):
    """Enabled through the API, read back, and a line was seen to arrive.

    Never done beforehand: lines of an earlier time say nothing about a device that is listed.
    """

    name = "audit-on"

    def describe(self, world: World) -> str:
        return "enable the audit device, read it back and see a line arrive"

    async def act(self, world: World) -> dict[str, Any]:
        target, token = world.destination.target, await world.ports.credentials.token()
        if await world.ports.vault.audit_path(target, token) is None:
            await world.ports.vault.enable_audit(target, token)
        await _require_new_line(world, await world.ports.audit_file.size())
        return {}


class RotateAudit(CheckStep):
    """The file is moved away, the server told, and a line seen in the new file."""

    name = "rotate-audit"

    def describe(self, world: World) -> str:
        return "rotate the audit file once and see a line arrive in the new one"

    async def done(self, world: World) -> bool:
        file = world.ports.audit_file
        return await file.rotated_for(world.parameters.run) and await file.size() > 0

    async def act(self, world: World) -> dict[str, Any]:
        file = world.ports.audit_file
        if not await file.rotated_for(world.parameters.run):
            await file.move_away(world.parameters.run)
        await world.ports.server.reload()
        await _require_new_line(world, 0)
        return {}


class AuditOff(CheckStep):
    """Disabled through the API and read back. Undoing enables it again."""

    name = "audit-off"

    def describe(self, world: World) -> str:
        return "disable the audit device and read it back"

    async def done(self, world: World) -> bool:
        return await self._path(world) is None

    async def material(self, world: World) -> dict[str, Any]:
        return {"enabled": await self._path(world) is not None}

    async def act(self, world: World) -> dict[str, Any]:
        token = await world.ports.credentials.token()
        await world.ports.vault.disable_audit(self._target(world), token)
        if await self._path(world) is not None:
            raise AuditNotProvenError("the audit device is still enabled", hint="try again")
        return {}

    async def undo(self, world: World, material: dict[str, Any]) -> None:
        if material["enabled"] and await self._path(world) is None:
            token = await world.ports.credentials.token()
            await world.ports.vault.enable_audit(self._target(world), token)

    async def _path(self, world: World) -> str | None:
        token = await world.ports.credentials.token()
        return await world.ports.vault.audit_path(self._target(world), token)

    def _target(self, world: World) -> Any:
        # Before the fence it is the source that serves, after the commit the destination.
        side = world.source if world.parameters.source_serves else world.destination
        return side.target
