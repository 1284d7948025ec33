"""``zvault server``: the embedded engine behind HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from zvault.cli.output import reporting_errors


def register(program: typer.Typer) -> None:
    """Add the command."""
    program.command("server")(server)


def server(
    config: Annotated[
        list[Path],
        typer.Option(
            "--config",
            "-config",
            help="Configuration in Vault's HCL or JSON: a file, or a folder of them. Repeatable.",
        ),
    ],
) -> None:
    """Serve Vault's API from a store until SIGTERM.

    The store stays sealed until shares are submitted. Exit code 0: every request was finished and
    the store was sealed.
    """
    from zvault.app.serving import run_server

    with reporting_errors():
        run_server(config)
