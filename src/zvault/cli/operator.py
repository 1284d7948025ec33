"""``zvault operator``: what Vault's and OpenBao's command lines call so, as far as it is needed.

What lives here: the one-time pad taken off a new root token. What never does: a server; a token or
a pad in argv.
"""

import json
import sys
from typing import Annotated

import typer

from zvault.base.errors import UsageError
from zvault.cli.output import emit, reporting_errors
from zvault.cli.site_options import JsonOption
from zvault.crypto.one_time_pad import decode_token

app = typer.Typer(no_args_is_help=True, help="What operators of a Vault do by hand.")


@app.callback()
def _group() -> None:
    """Keeps the command's name while it is the only one."""


@app.command("generate-root")
def generate_root(
    decode: Annotated[
        bool,
        typer.Option(
            "--decode", help='Read {"encoded_token": ..., "otp": ...} from stdin, print the token.'
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Local arithmetic, no server: both texts come on standard input, so no process list shows."""
    with reporting_errors(as_json=as_json):
        if not decode:
            raise UsageError(
                "only --decode is served here",
                hint="the rounds of shares: bao operator generate-root, or sys/generate-root",
            )
        try:
            given = json.loads(sys.stdin.read(4096))
            encoded, otp = given["encoded_token"], given["otp"]
        except (ValueError, KeyError, TypeError):
            encoded = otp = None
        if not isinstance(encoded, str) or not isinstance(otp, str):
            raise UsageError(
                "standard input is no JSON object with encoded_token and otp",
                hint='printf \'{"encoded_token":"...","otp":"..."}\' | zvault operator'
                " generate-root --decode",
            )
        token = decode_token(encoded, otp)
        emit({"token": token}, as_json=as_json, lines=[token])
