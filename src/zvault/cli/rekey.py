"""``zvault rekey``: new shares for the site's Vault.

What lives here: options to values, one call, the result printed. What never does: a share in argv
or in the output.
"""

from pathlib import Path
from typing import Annotated

import typer

from zvault.app.rekeying import cancel_rekey, rekey_site
from zvault.app.site import load_site
from zvault.app.wiring import operator_of
from zvault.base.errors import UsageError
from zvault.cli.output import emit, progress, reporting_errors
from zvault.cli.site_options import (
    SITE_DEFAULT,
    JsonOption,
    PromptOption,
    SharesFileOption,
    SiteOption,
    TokenFileOption,
    brought,
)


def register(program: typer.Typer) -> None:
    """Add the command."""
    program.command("rekey", help="New shares in the place of those people have seen.")(rekey)


def rekey(
    keys_file: Annotated[
        Path | None, typer.Option("--keys-file", help="A new file for the new shares (0600).")
    ] = None,
    site: SiteOption = SITE_DEFAULT,
    shares_file: SharesFileOption = None,
    prompt_shares: PromptOption = 0,
    shares: Annotated[int, typer.Option("--shares", help="How many (default: as now).")] = 0,
    threshold: Annotated[
        int, typer.Option("--threshold", help="How many open it (default: as now).")
    ] = 0,
    token_file: TokenFileOption = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="End a rekey that was begun and not verified.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Exit code 0: the file is durable, its shares open the store, the key file holds them too."""
    with reporting_errors(as_json=as_json):
        place, bring = load_site(site), brought(shares_file, prompt_shares, token_file)
        if cancel:
            with operator_of(place, bring, progress) as operator:
                address = cancel_rekey(operator, place, bring.token)
            text = f"{address}: no rekey is under way; the shares are as they were"
            emit({"address": address, "cancelled": True}, as_json=as_json, lines=[text])
            return
        if keys_file is None or bool(shares) != bool(threshold):
            raise UsageError(
                "a rekey wants --keys-file, and --shares together with --threshold or neither",
                hint="zvault rekey --keys-file NEW --shares-file OLD",
            )
        with operator_of(place, bring, progress) as operator:
            done = rekey_site(operator, place, keys_file, (shares, threshold), bring.token)
        kept = f"the key file {done.key_file} holds them too" if done.key_file else "no key file"
        emit(
            {
                "address": done.address,
                "key_file": None if done.key_file is None else str(done.key_file),
                "keys_file": str(keys_file),
                "proven": True,
                "secret_shares": done.status.shares,
                "secret_threshold": done.status.threshold,
                "store": done.store_url,
            },
            as_json=as_json,
            lines=[
                f"{done.address}: {done.status.shares} new shares, any {done.status.threshold}"
                f" open it, are in {keys_file}; they were read back and open the store; {kept}",
                "the old shares are dead here; they still open every backup made before, so take a"
                " new one, and rotate the data key if they were in wrong hands",
            ],
        )
