"""A stage stood up, or down, as the site's state says; not a migration.

What lives here: starting what the active stage consists of, checking it, taking it down. What never
does: changing the stage (``operate.py``) or a store.
Invariants: up means read back: the server answers, and from stage 8 on it is unsealed; a site with
an open run is left alone, because its server may be fenced.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from zvault.base.errors import SealedError
from zvault.ops.migration.errors import MigrationRefusedError, OpenRunError
from zvault.ops.migration.journal import Record
from zvault.ops.migration.ledger import open_run, require_agreement
from zvault.ops.migration.model import Limits, Options, Parameters, Side, SiteState
from zvault.ops.migration.operate import Geography
from zvault.ops.migration.ports import BackupFacts, Ports, SealFacts
from zvault.ops.migration.world import World, await_answer, await_unsealed
from zvault.ops.stages.model import FIRST, UnsealKind


class ConfigurationChangedError(MigrationRefusedError):
    """The server runs with a configuration that is no longer the rendered one."""

    code = "configuration-changed"


class DoorHoldsError(SealedError):
    """The front door holds requests, and taking a certificate now would fail them."""

    code = "door-holds"


@dataclass(frozen=True, slots=True)
class Renewed:
    """Who was there and has shown the new certificate in a handshake."""

    by_server: bool
    by_front_door: bool


@dataclass(frozen=True, slots=True)
class Stood:
    """What stands: the active stage and what its server said."""

    stage: int
    store_url: str
    address: str
    seal: SealFacts


@dataclass(frozen=True, slots=True)
class Stand:
    """One site, to be stood up or down."""

    ports: Ports
    geography: Geography
    limits: Limits
    records: Sequence[Record]
    """The journal's."""

    async def up(self, stage_number: int) -> Stood:
        """Start certificate, front door, server and agent of the active stage; idempotent.

        A site without a state begins in stage 7. Raises OpenRunError, MigrationRefusedError when
        another stage is active, StateLostError, ServerSilentError, StillSealedError.
        """
        self._require_no_run()
        state = await self._state(stage_number)
        side = self.geography.side(state.stage, state.store_url)
        world = self._world(state, side)
        if await self.ports.tls.problem():
            await self.ports.tls.issue()
        await self._configure(side)
        await self.ports.server.start(side.config_path, side.target)
        seal = await await_answer(world, side.target)
        await self._open_door(side)
        if side.stage.unseal is UnsealKind.AGENT:
            await self.ports.agent.start(side.target)
            await await_unsealed(world, side.target)
            seal = await self.ports.vault.seal_status(side.target)
        return Stood(state.stage, state.store_url, side.target.address, seal)

    async def down(self) -> None:
        """Stop agent and server; the front door stays and holds what comes. Raises OpenRunError."""
        self._require_no_run()
        await self.ports.agent.stop()
        await self.ports.server.stop()

    async def back_up(self) -> BackupFacts:
        """A verified backup of the active store. Raises MigrationRefusedError without a stage."""
        state = await self._agreed()
        if state is None:
            raise MigrationRefusedError(
                "this site has no active stage yet", hint="zvault stage up --stage 7"
            )
        shares = await self.ports.credentials.unseal_shares()
        return await self.ports.backups.take(state.store_url, shares)

    async def renew_certificate(self) -> Renewed:
        """A new certificate; what runs takes it, and a handshake with each shows it.

        Raises TlsNotServedError, and DoorHoldsError when the front door cannot take it now.
        """
        state = await self._agreed()
        await self.ports.tls.issue()
        side = None if state is None else self.geography.side(state.stage, state.store_url)
        by_server = side is not None and await self._server_takes_certificate(side)
        by_door = (await self.ports.front_door.observe()).running
        if by_door:
            await self._door_takes_certificate(side)
        return Renewed(by_server, by_door)

    async def _server_takes_certificate(self, side: Side) -> bool:
        if not (side.stage.tls and (await self.ports.server.observe()).alive):
            return False
        await self.ports.server.reload()
        await self.ports.tls.require_served(side.target)
        return True

    async def _door_takes_certificate(self, side: Side | None) -> None:
        seal = SealFacts(False)
        if side is not None:
            seal = await self.ports.vault.seal_status(side.target)
        if not seal.reachable or seal.sealed:
            raise DoorHoldsError(
                "the certificate is renewed, and the front door, which holds requests while no"
                " server is unsealed, still shows the old one",
                hint="unseal the server, then: zvault frontdoor reload",
            )
        await self.ports.front_door.take_certificate()

    async def _agreed(self) -> SiteState | None:
        state = await self.ports.state.read()
        require_agreement(state, self.records)
        return state

    def _require_no_run(self) -> None:
        waiting = open_run(self.records)
        if waiting is not None:
            raise OpenRunError(
                f"run {waiting.id} is not finished",
                hint="zvault resume goes on, zvault rollback turns back",
            )

    async def _state(self, stage_number: int) -> SiteState:
        state = await self._agreed()
        if state is None and stage_number == FIRST:
            # Nothing was ever moved: the store is where the site says it is.
            state = SiteState(FIRST, self.geography.home_url(FIRST))
            await self.ports.state.write(state)
        if state is None:
            raise MigrationRefusedError(
                "this site has no active stage yet", hint="zvault stage up --stage 7"
            )
        if state.stage != stage_number:
            raise MigrationRefusedError(
                f"stage {state.stage} is active, not stage {stage_number}",
                hint=f"zvault migrate --to {stage_number}"
                if stage_number > state.stage
                else f"zvault rollback --to {stage_number}",
            )
        return state

    async def _configure(self, side: Side) -> None:
        files = self.ports.files
        if await files.read(side.config_path) != side.config_text:
            if (await self.ports.server.observe()).alive:
                raise ConfigurationChangedError(
                    f"the server runs with another {side.config_path.name} than zvault.toml means",
                    hint="zvault stage down, then up again",
                )
            await files.write(side.config_path, side.config_text)
        if await files.read(self.geography.active_config_path) != side.config_text:
            await files.write(self.geography.active_config_path, side.config_text)

    async def _open_door(self, side: Side) -> None:
        door = self.ports.front_door
        if not (await door.observe()).running:
            await door.start()
        if (await door.observe()).client_url is None:
            await door.send_clients(side.stage.scheme)

    def _world(self, state: SiteState, side: Side) -> World:
        here = Parameters(
            run="",
            from_stage=state.stage,
            to_stage=state.stage,
            source_url=state.store_url,
            destination_url=state.store_url,
            started_ns=self.ports.machine.now_ns(),
            options=Options(),
        )
        return World(
            ports=self.ports,
            parameters=here,
            source=side,
            destination=side,
            active_config_path=self.geography.active_config_path,
            limits=self.limits,
            say=lambda _: None,
        )
