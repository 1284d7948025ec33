"""What an operator can ask for: plan, migrate, resume, roll back.

What lives here: the calls behind the commands of the same names. What never does: parsing,
printing, concrete classes.
Invariants: nothing is changed before every refusal was decided; a destructive run begins only with
the id of the plan that was shown; one run is open at a time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from zvault.ops.migration.errors import (
    MigrationRefusedError,
    NoOpenRunError,
    NotConfirmedError,
    OpenRunError,
)
from zvault.ops.migration.execute import Execution
from zvault.ops.migration.journal import Journal, Record
from zvault.ops.migration.ledger import Run, open_run, require_agreement, runs
from zvault.ops.migration.loss import Copy, decide_recovery, describe_loss
from zvault.ops.migration.model import (
    Held,
    Limits,
    Options,
    Parameters,
    Recovery,
    Retired,
    Side,
    SiteState,
)
from zvault.ops.migration.observe import observe_for
from zvault.ops.migration.planning import STEPS, describe_skipped, plan_id, plan_steps
from zvault.ops.migration.ports import Ports
from zvault.ops.migration.refuse import Refusal, decide_refusals
from zvault.ops.migration.world import World


class Geography(Protocol):
    """Where the site keeps things; pure."""

    @property
    def active_config_path(self) -> Path: ...

    def side(self, stage_number: int, store_url: str) -> Side: ...

    def home_url(self, stage_number: int) -> str:
        """The store a stage has when nothing was ever moved."""
        ...

    def destination_url(self, state: SiteState, to_stage: int, run: str) -> str:
        """The store a stage will have: the present one, the declared one, or a fresh place."""
        ...


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan that can be shown, confirmed and begun."""

    id: str
    parameters: Parameters
    steps: tuple[str, ...]
    sentences: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    losses: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    """What the plan leaves open and the operator should know."""
    supersedes: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command's run ended; anything else is an error."""

    run: str
    from_stage: int
    to_stage: int
    active_stage: int
    held: Held | None = None
    """How long clients waited; None when they did not, or a killed process cannot say."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator at one site, who holds the journal."""

    ports: Ports
    journal: Journal
    geography: Geography
    limits: Limits
    say: Callable[[str], None]
    new_run: Callable[[], str]

    async def propose(self, to_stage: int, options: Options) -> Proposal:
        """Look, plan, decide the refusals; changes nothing.

        Raises OpenRunError, MigrationRefusedError, RecoveryRefusedError.
        """
        waiting = open_run(self.journal.records)
        superseding = waiting is not None and await self._turns_back(waiting, to_stage)
        if waiting is not None and not superseding:
            raise OpenRunError(
                f"run {waiting.id} ({waiting.parameters.from_stage} to"
                f" {waiting.parameters.to_stage}) is not finished",
                hint="zvault resume goes on, zvault rollback turns back",
            )
        state = await self._state()
        parameters = await self._parameters(state, to_stage, options)
        world = self._world(parameters)
        facts = await observe_for(self.ports, parameters, world.source, world.destination)
        steps = plan_steps(parameters)
        return Proposal(
            id=plan_id(parameters, steps),
            parameters=parameters,
            steps=steps,
            sentences=tuple(STEPS[name].describe(world) for name in steps),
            refusals=tuple(
                decide_refusals(parameters, facts, self.limits, superseding=superseding)
            ),
            losses=await self._losses(parameters.recovery),
            remarks=describe_skipped(parameters),
            supersedes=waiting.id if waiting and superseding else None,
        )

    async def migrate(self, proposal: Proposal, confirmed: str) -> Ended:
        """Begin a run with the plan that was shown and go to its end.

        Raises MigrationRefusedError or NotConfirmedError (nothing changed),
        MigrationRolledBackError (put back), MigrationInterruptedError (open).
        """
        if proposal.refusals:
            first = proposal.refusals[0]
            raise MigrationRefusedError(first.message, hint=first.hint)
        if confirmed != proposal.id:
            raise NotConfirmedError(
                f"the plan is {proposal.id}" + (f", not {confirmed}" if confirmed else ""),
                hint=f"read the plan, then: --plan {proposal.id}",
            )
        parameters = proposal.parameters
        self._write(
            parameters.run,
            "begin",
            {
                "parameters": parameters.to_json(),
                "plan": list(proposal.steps),
                "plan_id": proposal.id,
                "supersedes": proposal.supersedes,
            },
        )
        return await self.resume()

    async def resume(self) -> Ended:
        """Go on with the open run: forward, or back when it was turning back.

        Raises as ``migrate``, and NoOpenRunError.
        """
        execution = self._taken_up()
        if execution.run.aborting:
            await execution.back()
        else:
            await execution.forward()
        return await self._ended(execution.run)

    async def turn_back(self, to_stage: int | None = None) -> Ended | None:
        """Put the open run back if it is before its commit; None when there is none to put back.

        None also after the commit: then the way back is a run of its own (``propose``). Raises
        OpenRunError (nothing changed) when the run does not lead back to ``to_stage``.
        """
        waiting = open_run(self.journal.records)
        if waiting is None:
            return None
        execution = self._taken_up()
        if await execution.committed():
            return None
        back = waiting.parameters.from_stage
        if to_stage not in (None, back):
            raise OpenRunError(
                f"run {waiting.id} is open and leads back to stage {back}, not to {to_stage}",
                hint=f"first: zvault rollback --to {back}",
            )
        await execution.back()
        return await self._ended(execution.run)

    def _taken_up(self) -> Execution:
        run = open_run(self.journal.records)
        if run is None:
            raise NoOpenRunError("no run is open", hint="zvault status")
        return Execution(self.journal, self._world(run.parameters), run)

    async def _ended(self, run: Run) -> Ended:
        state, parameters = await self._state(), run.parameters
        held = next(one.held for one in runs(self.journal.records) if one.id == run.id)
        return Ended(run.id, parameters.from_stage, parameters.to_stage, state.stage, held)

    async def _turns_back(self, waiting: Run, to_stage: int) -> bool:
        """Whether the wish is the reverse of a run that is committed but not finished."""
        execution = Execution(self.journal, self._world(waiting.parameters), waiting)
        return to_stage == waiting.parameters.from_stage and await execution.committed()

    async def _state(self) -> SiteState:
        state = await self.ports.state.read()
        require_agreement(state, self.journal.records)
        if state is None:
            raise MigrationRefusedError(
                "this site has no active stage yet", hint="zvault stage up --stage 7"
            )
        return state

    async def _parameters(self, state: SiteState, to_stage: int, options: Options) -> Parameters:
        run = self.new_run()
        source = self.geography.side(state.stage, state.store_url)
        seal = await self.ports.vault.seal_status(source.target)
        parameters = Parameters(
            run=run,
            from_stage=state.stage,
            to_stage=to_stage,
            source_url=state.store_url,
            destination_url=self.geography.destination_url(state, to_stage, run),
            started_ns=self.ports.machine.now_ns(),
            options=options,
            source_serves=seal.reachable and not seal.sealed,
        )
        plan_steps(parameters)
        recovery = await self._recovery(parameters, state)
        if recovery is None:
            return parameters
        # A server whose store is gone may still call itself unsealed; it serves nobody.
        return replace(parameters, recovery=recovery, source_serves=False)

    async def _recovery(self, parameters: Parameters, state: SiteState) -> Recovery | None:
        accepted = parameters.options.accept_loss_since_ns
        if parameters.forward or not parameters.moves_store:
            return None
        source = await self.ports.stores.look(parameters.source_url)
        if source.reachable:
            if accepted is not None:
                raise MigrationRefusedError(
                    f"{parameters.source_url} can be read, so nothing need be lost",
                    hint="leave out --accept-loss-since",
                )
            return None
        return decide_recovery(
            await self._copies(state.retired),
            await self.ports.key_files.fingerprint(),
            self.ports.machine.now_ns(),
            accepted,
        )

    async def _copies(self, retired: Sequence[Retired]) -> list[Copy]:
        """Verified backups, and the stores of earlier runs that can still be read."""
        found = []
        for one in await self.ports.backups.verified():
            damage = await self.ports.backups.damage(one.name)
            if damage:
                self.say(f"passed over: {damage}")
                continue
            found.append(Copy(Recovery("backup", one.name, one.taken_ns), one.fingerprint))
        for old in retired:
            seen = await self.ports.stores.look(old.url)
            if seen.reachable and seen.initialized and seen.marker == old.run:
                found.append(Copy(Recovery("store", old.url, old.at_ns), seen.fingerprint))
        return found

    async def _losses(self, recovery: Recovery | None) -> tuple[str, ...]:
        if recovery is None:
            return ()
        try:
            changes, paths = await self.ports.audit_file.changes_since(recovery.as_of_ns)
        except OSError:
            return tuple(describe_loss(recovery, None, []))
        return tuple(describe_loss(recovery, changes, paths))

    def _world(self, parameters: Parameters) -> World:
        side = self.geography.side
        return World(
            ports=self.ports,
            parameters=parameters,
            source=side(parameters.from_stage, parameters.source_url),
            destination=side(parameters.to_stage, parameters.destination_url),
            active_config_path=self.geography.active_config_path,
            limits=self.limits,
            say=self.say,
        )

    def _write(self, run: str, kind: str, data: dict[str, object]) -> None:
        self.journal.append(Record(run, self.ports.machine.now_ns(), kind, "", data))
