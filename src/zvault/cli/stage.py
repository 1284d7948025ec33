"""``zvault stage up|down`` and ``zvault smoke``: the active stage stood up, taken down, tried.

What lives here: parse, call one function, print.
"""

import asyncio
import os
from typing import Annotated

import typer

from zvault.app.geography import SiteGeography
from zvault.app.s3_credentials import keep_s3_credentials
from zvault.app.site import load_site
from zvault.app.wiring import build_ports, journal_path, new_run_id, operator_of
from zvault.base.clock import SystemClock
from zvault.base.errors import VerificationError
from zvault.base.gotime import format_time
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
from zvault.ops.migration.journal import read_journal
from zvault.ops.migration.ledger import open_run
from zvault.ops.migration.model import Options
from zvault.ops.migration.operate import Operator, Proposal
from zvault.ops.migration.smoke import Smoke
from zvault.ops.migration.stand import Stand, Stood
from zvault.ops.stages.model import FIRST, LAST

StageOption = Annotated[int, typer.Option("--stage", help="7, 8 or 9.")]
_stage = typer.Typer(no_args_is_help=True, help="Stand the active stage up, or down.")


class SmokeFailedError(VerificationError):
    """A property of the stage does not hold."""

    code = "smoke"


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.add_typer(_stage, name="stage")
    program.command("smoke", help="Try every property the stage promises.")(smoke)


@_stage.command("up")
def up(
    stage: StageOption,
    site: SiteOption = SITE_DEFAULT,
    shares_file: SharesFileOption = None,
    prompt_shares: PromptOption = 0,
    token_file: TokenFileOption = None,
    backup: Annotated[
        bool, typer.Option("--backup", help="When it migrates: take a verified backup first.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start what the stage consists of and read back that it stands.

    With the stage below active it migrates, which is what ``make stage8`` means.
    """
    with reporting_errors(as_json=as_json):
        place = load_site(site)
        bring = brought(shares_file, prompt_shares, token_file)
        say = stopwatch()
        with operator_of(place, bring, say, copy_progress(say)) as operator:
            proposal = asyncio.run(_next(operator, stage, Options(take_backup=backup)))
            if proposal is not None:
                if stage == LAST and not proposal.refusals:
                    keep_s3_credentials(place, os.environ, say)
                with interruptible():
                    asyncio.run(operator.migrate(proposal, proposal.id))
            stood = asyncio.run(_stand(operator).up(stage))
        emit(
            {
                "stage": stood.stage,
                "store": stood.store_url,
                "address": stood.address,
                "initialized": stood.seal.initialized,
                "sealed": stood.seal.sealed,
            },
            as_json=as_json,
            lines=[f"stage {stood.stage} stands at {stood.address}: {_state(stood)}"],
        )


@_stage.command("down")
def down(site: SiteOption = SITE_DEFAULT, as_json: JsonOption = False) -> None:
    """Stop agent and server on purpose; nobody restarts them. The front door stays."""
    with reporting_errors(as_json=as_json):
        with operator_of(load_site(site), brought(None, 0, None), progress) as operator:
            asyncio.run(_stand(operator).down())
        emit({"stopped": True}, as_json=as_json, lines=["server and unseal agent are stopped"])


@_stage.command("backup")
def backup(
    site: SiteOption = SITE_DEFAULT,
    shares_file: SharesFileOption = None,
    prompt_shares: PromptOption = 0,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """A backup of the active store, read back and opened with the shares or the key file."""
    with reporting_errors(as_json=as_json):
        bring = brought(shares_file, prompt_shares, token_file)
        with operator_of(load_site(site), bring, progress) as operator:
            taken = asyncio.run(_stand(operator).back_up())
        emit(
            {"name": taken.name, "store": taken.store_url, "taken": format_time(taken.taken_ns)},
            as_json=as_json,
            lines=[f"{taken.name}: {taken.store_url}, read back, every entry opened"],
        )


@_stage.command("certificate")
def certificate(site: SiteOption = SITE_DEFAULT, as_json: JsonOption = False) -> None:
    """A new certificate from the private CA; server and front door take it and show it.

    The front door's keep-alive connections are closed by that: renew at a quiet time.
    """
    with reporting_errors(as_json=as_json):
        with operator_of(load_site(site), brought(None, 0, None), progress) as operator:
            shown = asyncio.run(_stand(operator).renew_certificate())
        emit(
            {
                "renewed": True,
                "shown_by_server": shown.by_server,
                "shown_by_front_door": shown.by_front_door,
            },
            as_json=as_json,
            lines=[
                "the certificate is renewed",
                _shown("the server", shown.by_server, "no TLS server is running"),
                _shown("the front door", shown.by_front_door, "the front door is not running"),
            ],
        )


def smoke(
    stage: StageOption,
    site: SiteOption = SITE_DEFAULT,
    without_canary: Annotated[
        bool, typer.Option("--without-canary", help="Do not log in, read and write.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Exit code 0 only if every property was tried and holds; 4 otherwise."""
    with reporting_errors(as_json=as_json):
        place, clock = load_site(site), SystemClock()
        ports = build_ports(place, brought(None, 0, None), lambda _: None, clock)
        checks = asyncio.run(
            Smoke(ports, SiteGeography(place), place.limits).run(
                stage, nonce=new_run_id(clock), canary=not without_canary
            )
        )
        failed = [check for check in checks if not check.ok]
        emit(
            {
                "stage": stage,
                "ok": not failed,
                "checks": [
                    {"name": check.name, "ok": check.ok, "problem": check.problem}
                    for check in checks
                ],
            },
            as_json=as_json,
            lines=[
                f"{'ok  ' if check.ok else 'FAIL'}  {check.name}"
                + ("" if check.ok else f": {check.problem}")
                for check in checks
            ],
        )
        if failed:
            waiting = open_run(read_journal(journal_path(place)))
            raise SmokeFailedError(
                f"{len(failed)} of {len(checks)} checks failed",
                hint="zvault resume: a run is open" if waiting else "zvault status",
            )


def _shown(who: str, shown: bool, otherwise: str) -> str:
    return f"a handshake with {who} shows it" if shown else otherwise


async def _next(operator: Operator, stage: int, options: Options) -> Proposal | None:
    """The migration to that stage, when the one below it is active."""
    state = await operator.ports.state.read()
    if state is None or state.stage != stage - 1 or stage == FIRST:
        return None
    proposal = await operator.propose(stage, options)
    for number, text in enumerate(proposal.sentences, 1):
        progress(f"{number:3}. {text}")
    return proposal


def _stand(operator: Operator) -> Stand:
    return Stand(operator.ports, operator.geography, operator.limits, operator.journal.records)


def _state(stood: Stood) -> str:
    if not stood.seal.initialized:
        return "not initialised"
    return "sealed" if stood.seal.sealed else "unsealed"
