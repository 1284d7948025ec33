"""``zvault init`` and ``zvault declare plan|apply``: the first set-up of a site's Vault.

What lives here: parse, call one function, print. What never does: a key or token on stdout.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from zvault.app.first_setup import initialize_site, vault_of
from zvault.app.site import load_site
from zvault.app.wiring import operator_of
from zvault.base.errors import UsageError
from zvault.cli.output import emit, progress, reporting_errors
from zvault.cli.site_options import (
    SITE_DEFAULT,
    JsonOption,
    SiteOption,
    TokenFileOption,
    brought,
)
from zvault.ops.declare.apply import apply as apply_declaration
from zvault.ops.declare.apply import plan as plan_declaration
from zvault.ops.declare.initialize import NewKeys
from zvault.ops.declare.model import Action, Declaration
from zvault.vaultapi.client import VaultApi

_declare = typer.Typer(
    no_args_is_help=True, help="Bring what zvault.toml declares into the site's Vault."
)


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.command("init", help="Make the keys of a new Vault and keep them in a file.")(init)
    program.add_typer(_declare, name="declare")


def init(
    keys_file: Annotated[
        Path, typer.Option("--keys-file", help="A new file for shares and root token (0600).")
    ],
    site: SiteOption = SITE_DEFAULT,
    shares: Annotated[int, typer.Option("--shares", help="How many shares are made.")] = 5,
    threshold: Annotated[int, typer.Option("--threshold", help="How many open the Vault.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Exit code 0 only if the file is durable and its shares open the store."""
    with reporting_errors(as_json=as_json):
        place = load_site(site)
        with operator_of(place, brought(None, 0, None), progress) as operator:
            done = initialize_site(operator, place, keys_file, NewKeys(shares, threshold))
        emit(
            {
                "address": done.address,
                "initialized": done.status.initialized,
                "keys_file": str(keys_file),
                "proven": True,
                "secret_shares": done.status.shares,
                "secret_threshold": done.status.threshold,
                "store": done.store_url,
            },
            as_json=as_json,
            lines=[
                f"{done.address}: initialised; {done.status.shares} shares, any"
                f" {done.status.threshold} open it, and the root token are in {keys_file}",
                "the shares were read back and open the store; split them up among people",
            ],
        )


@_declare.command("plan")
def plan(
    site: SiteOption = SITE_DEFAULT,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """What apply would do now; changes nothing."""
    with reporting_errors(as_json=as_json), _open(site, token_file) as (vault, declared):
        left = plan_declaration(vault, declared).actions
        lines = [f"{number:3}. {action}" for number, action in enumerate(left, 1)]
        emit(
            {"address": vault.address, "actions": _texts(left), "in_place": not left},
            as_json=as_json,
            lines=lines or ["everything that is declared is in place"],
        )


@_declare.command("apply")
def apply(
    site: SiteOption = SITE_DEFAULT,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do what is left and read back that nothing is; what nobody declared stays."""
    with reporting_errors(as_json=as_json), _open(site, token_file) as (vault, declared):
        done = apply_declaration(vault, declared, progress).done
        emit(
            {"address": vault.address, "done": _texts(done), "in_place": True},
            as_json=as_json,
            lines=[
                f"{len(done)} changes; read back: everything that is declared is in place"
                if done
                else "nothing to do: everything that is declared is in place"
            ],
        )


@contextmanager
def _open(site: Path, token_file: Path | None) -> Iterator[tuple[VaultApi, Declaration]]:
    place, bring = load_site(site), brought(None, 0, token_file)
    if bring.token is None:
        raise UsageError("a token is needed", hint="--token-file FILE (mode 0600)")
    token, declared = bring.token(), place.declare.read()
    with (
        operator_of(place, bring, progress) as operator,
        vault_of(operator, place, token) as vault,
    ):
        yield vault, declared


def _texts(actions: tuple[Action, ...]) -> list[Any]:
    return [str(action) for action in actions]
