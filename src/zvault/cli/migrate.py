"""``zvault plan|migrate|rollback|resume|journal|status``: from stage to stage and back.

What lives here: parse, call one function, print. What never does: a decision about a migration.
"""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from zvault.app.geography import SiteGeography
from zvault.app.s3_credentials import keep_s3_credentials
from zvault.app.site import Site, load_site
from zvault.app.wiring import Brought, build_ports, journal_path, operator_of
from zvault.base import gotime
from zvault.base.clock import SystemClock
from zvault.base.errors import SealedError, UnreachableError, UsageError, ZvaultError
from zvault.cli.output import emit, progress, reporting_errors
from zvault.cli.site_options import (
    SITE_DEFAULT,
    JsonOption,
    PromptOption,
    SharesFileOption,
    SiteOption,
    TokenFileOption,
    brought,
    copy_progress,
    interruptible,
    stopwatch,
)
from zvault.ops.migration.errors import (
    JournalCorruptError,
    JournalTooNewError,
    MigrationRefusedError,
    NotConfirmedError,
    StateLostError,
)
from zvault.ops.migration.journal import read_journal
from zvault.ops.migration.ledger import Run, open_run, require_agreement, runs
from zvault.ops.migration.model import Options
from zvault.ops.migration.operate import Ended, Operator, Proposal
from zvault.ops.migration.status import describe_status, observe_status
from zvault.ops.stages import model as stages

ToOption = Annotated[int, typer.Option("--to", help="The stage to go to: 7, 8 or 9.")]
PlanOption = Annotated[str, typer.Option("--plan", help="The id of the plan you have read.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Begin without showing the plan first.")]
BackupOption = Annotated[
    bool, typer.Option("--backup", help="Take a verified backup as the first step.")
]
RotateOption = Annotated[
    bool, typer.Option("--rotate-audit", help="Rotate the audit file once and prove it (8 to 9).")
]
ClearOption = Annotated[
    bool, typer.Option("--clear-retired", help="Empty a destination an earlier run left behind.")
]
DestroyOption = Annotated[
    bool, typer.Option("--destroy-key-file", help="Destroy the key file at the end (8 to 7).")
]
NoCanaryOption = Annotated[
    bool, typer.Option("--without-canary", help="Skip login, read and write at the end.")
]
RekeyOption = Annotated[
    Path | None,
    typer.Option("--rekey-to", help="A new file (0600) for the shares of a rekey (7 to 8)."),
]
LossOption = Annotated[
    str,
    typer.Option("--accept-loss-since", help="RFC 3339: the store is gone, later changes are lost"),
]


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.command("plan", help="What a migration would do; changes nothing.")(plan)
    program.command("migrate", help="Go to the next stage.")(migrate)
    program.command("rollback", help="Turn back: the open run, or the active stage.")(rollback)
    program.command("resume", help="Go on with a run that was interrupted.")(resume)
    program.command("journal", help="What every run did.")(journal)
    program.command("status", help="Stage, server, agent, clients, backup, open run.")(status)


def plan(
    to: ToOption,
    site: SiteOption = SITE_DEFAULT,
    shares_file: SharesFileOption = None,
    prompt_shares: PromptOption = 0,
    token_file: TokenFileOption = None,
    backup: BackupOption = False,
    rotate_audit: RotateOption = False,
    clear_retired: ClearOption = False,
    destroy_key_file: DestroyOption = False,
    without_canary: NoCanaryOption = False,
    rekey_to: RekeyOption = None,
    accept_loss_since: LossOption = "",
    as_json: JsonOption = False,
) -> None:
    """Exit code 0: it could begin. 3: something is in the way, and every reason is named."""
    with reporting_errors(as_json=as_json):
        options = _options(
            backup,
            rotate_audit,
            clear_retired,
            destroy_key_file,
            without_canary,
            accept_loss_since,
            rekey_to,
        )
        bring = brought(shares_file, prompt_shares, token_file)
        with operator_of(load_site(site), bring, progress, planning=True) as operator:
            proposal = asyncio.run(_propose(operator, to, options))
        emit(_plan_json(proposal), as_json=as_json, lines=_plan_lines(proposal))
        _require_no_refusal(proposal)


def migrate(
    to: ToOption,
    site: SiteOption = SITE_DEFAULT,
    shares_file: SharesFileOption = None,
    prompt_shares: PromptOption = 0,
    token_file: TokenFileOption = None,
    backup: BackupOption = False,
    rotate_audit: RotateOption = False,
    clear_retired: ClearOption = False,
    without_canary: NoCanaryOption = False,
    rekey_to: RekeyOption = None,
    confirmed: PlanOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Exit code 0: the new stage serves, read back. 5: it was put back. 6: it stopped half-way."""
    with reporting_errors(as_json=as_json):
        options = _options(backup, rotate_audit, clear_retired, False, without_canary, "", rekey_to)
        bring = brought(shares_file, prompt_shares, token_file)
        _run(load_site(site), bring, to, options, confirmed, yes=yes, as_json=as_json)


def rollback(
    to: Annotated[int, typer.Option("--to", help="The stage to turn back to.")] = 0,
    site: SiteOption = SITE_DEFAULT,
    shares_file: SharesFileOption = None,
    prompt_shares: PromptOption = 0,
    token_file: TokenFileOption = None,
    backup: BackupOption = False,
    clear_retired: ClearOption = False,
    destroy_key_file: DestroyOption = False,
    without_canary: NoCanaryOption = False,
    accept_loss_since: LossOption = "",
    confirmed: PlanOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """An open run before its commit is put back; otherwise the reverse migration is run."""
    with reporting_errors(as_json=as_json):
        options = _options(
            backup, False, clear_retired, destroy_key_file, without_canary, accept_loss_since
        )
        bring = brought(shares_file, prompt_shares, token_file)
        place = load_site(site)
        say = stopwatch()
        with operator_of(place, bring, say, copy_progress(say)) as operator:
            with interruptible():
                ended = asyncio.run(operator.turn_back(to or None))
            target = to or asyncio.run(_stage_before(operator))
            if ended is None:
                asyncio.run(_require_back(operator, target))
        if ended is not None:
            _print_ended(ended, as_json, "put back")
            return
        _run(place, bring, target, options, confirmed, yes=yes, as_json=as_json)


def resume(
    site: SiteOption = SITE_DEFAULT,
    shares_file: SharesFileOption = None,
    prompt_shares: PromptOption = 0,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Looks again at everything; what is left to do is the end of the journalled plan."""
    with reporting_errors(as_json=as_json):
        bring = brought(shares_file, prompt_shares, token_file)
        say = stopwatch()
        place = load_site(site)
        with operator_of(place, bring, say, copy_progress(say)) as operator, interruptible():
            ended = asyncio.run(operator.resume())
        _print_ended(ended, as_json, "done")


def journal(site: SiteOption = SITE_DEFAULT, as_json: JsonOption = False) -> None:
    """One line a run; with --json every record."""
    with reporting_errors(as_json=as_json):
        records = read_journal(journal_path(load_site(site)))
        lines = []
        for run in runs(records):
            where = f"{run.parameters.from_stage} to {run.parameters.to_stage}"
            began = gotime.format_time(run.parameters.started_ns)
            lines.append(f"{run.id}  {began}  {where}  {run.status}")
        emit(
            {
                "records": [
                    {
                        "run": record.run,
                        "at": gotime.format_time(record.at_ns),
                        "kind": record.kind,
                        "step": record.step,
                        "data": record.data,
                    }
                    for record in records
                ]
            },
            as_json=as_json,
            lines=lines or ["no run yet"],
        )


def status(
    site: SiteOption = SITE_DEFAULT,
    require_unsealed: Annotated[
        bool, typer.Option("--require-unsealed", help="Exit 7 when sealed, 8 when unreachable.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Looks; changes nothing and needs no token."""
    with reporting_errors(as_json=as_json):
        place = load_site(site)
        broken: ZvaultError | None = None
        waiting: Run | None = None
        operator_ports = build_ports(place, Brought(), lambda _: None, SystemClock())
        try:
            records = read_journal(journal_path(place))
            waiting = open_run(records)
            require_agreement(asyncio.run(operator_ports.state.read()), records)
        except (JournalCorruptError, JournalTooNewError, StateLostError) as error:
            broken = error  # what can be seen is wanted now more than ever
        seen = asyncio.run(observe_status(operator_ports, SiteGeography(place), waiting))
        emit(seen.to_json(), as_json=as_json, lines=describe_status(seen))
        if broken is not None:
            raise broken
        if require_unsealed and not seen.seal.reachable:
            raise UnreachableError(
                f"the server does not answer: {seen.seal.reason}", hint="zvault stage up"
            )
        if require_unsealed and seen.seal.sealed:
            raise SealedError("the server is sealed", hint="zvault unseal, or look at the agent")


def _run(
    site: Site,
    bring: Brought,
    to: int,
    options: Options,
    confirmed: str,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    say = stopwatch()
    with operator_of(site, bring, say, copy_progress(say)) as operator:
        proposal = asyncio.run(_propose(operator, to, options))
        _require_no_refusal(proposal)
        for line in _plan_lines(proposal):
            progress(line)
        if not (confirmed or yes):
            raise NotConfirmedError(
                "nothing was changed", hint=f"read the plan, then: --plan {proposal.id}"
            )
        if to == stages.LAST and (yes or confirmed == proposal.id):
            keep_s3_credentials(site, os.environ, say)
        with interruptible():
            ended = asyncio.run(operator.migrate(proposal, proposal.id if yes else confirmed))
        for remark in proposal.remarks:
            progress(remark)
    _print_ended(ended, as_json, "done")


async def _propose(operator: Operator, to: int, options: Options) -> Proposal:
    return await operator.propose(to, options)


async def _require_back(operator: Operator, target: int) -> None:
    """A rollback never goes up. Raises UsageError."""
    state = await operator.ports.state.read()
    if state is not None and target >= state.stage and open_run(operator.journal.records) is None:
        raise UsageError(
            f"stage {state.stage} is active, so stage {target} is no way back",
            hint=f"zvault rollback, or zvault migrate --to {target}",
        )


async def _stage_before(operator: Operator) -> int:
    waiting = open_run(operator.journal.records)
    if waiting is not None:
        return waiting.parameters.from_stage
    state = await operator.ports.state.read()
    return 0 if state is None else state.stage - 1


def _require_no_refusal(proposal: Proposal) -> None:
    if proposal.refusals:
        first = proposal.refusals[0]
        raise MigrationRefusedError(first.message, hint=first.hint)


def _options(
    backup: bool,
    rotate: bool,
    clear: bool,
    destroy: bool,
    without_canary: bool,
    loss: str,
    rekey_to: Path | None = None,
) -> Options:
    try:
        accepted = gotime.parse_time(loss) if loss else None
    except ValueError:
        raise UsageError(
            f"{loss!r} is no time", hint="write it like 2026-11-21T20:00:00Z"
        ) from None
    return Options(
        take_backup=backup,
        destroy_key_file=destroy,
        rotate_audit=rotate,
        without_canary=without_canary,
        accept_loss_since_ns=accepted,
        clear_retired=clear,
        rekey_file="" if rekey_to is None else str(rekey_to.absolute()),
    )


def _plan_lines(proposal: Proposal) -> list[str]:
    parameters = proposal.parameters
    head = f"plan {proposal.id}: stage {parameters.from_stage} to {parameters.to_stage}"
    steps = [f"{number:3}. {text}" for number, text in enumerate(proposal.sentences, 1)]
    refusals = [f"in the way: {item.message} ({item.hint})" for item in proposal.refusals]
    return [head, *steps, *proposal.losses, *proposal.remarks, *refusals]


def _plan_json(proposal: Proposal) -> dict[str, Any]:
    parameters = proposal.parameters
    return {
        "plan": proposal.id,
        "from": parameters.from_stage,
        "to": parameters.to_stage,
        "source": parameters.source_url,
        "destination": parameters.destination_url,
        "steps": [
            {"step": name, "does": text}
            for name, text in zip(proposal.steps, proposal.sentences, strict=True)
        ],
        "refusals": [
            {"reason": item.reason, "message": item.message, "hint": item.hint}
            for item in proposal.refusals
        ],
        "losses": list(proposal.losses),
        "remarks": list(proposal.remarks),
    }


def _print_ended(ended: Ended, as_json: bool, how: str) -> None:
    emit(
        {
            "run": ended.run,
            "from": ended.from_stage,
            "to": ended.to_stage,
            "active_stage": ended.active_stage,
            "how": how,
            "held": None if ended.held is None else ended.held.to_json(),
        },
        as_json=as_json,
        lines=[f"stage {ended.active_stage} is active ({how}, run {ended.run})"],
    )
