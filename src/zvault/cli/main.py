"""The door of the program: the list of commands.

What lives here: one line a command group. A group lives in a module of its own and exports ``app``
(a group) or ``register`` (top-level commands).
"""

import importlib
import signal
import sys
from typing import TYPE_CHECKING

from zvault.cli.leaving import leave

if TYPE_CHECKING:
    import typer

_GROUPS = {
    "store": "zvault.cli.store",
    "keyfile": "zvault.cli.keyfile",
    "backup": "zvault.cli.backup",
    "tls": "zvault.cli.tls",
    "frontdoor": "zvault.cli.frontdoor",
    "operator": "zvault.cli.operator",
}
_COMMANDS = (
    "zvault.cli.server",
    "zvault.cli.unseal_agent",
    "zvault.cli.migrate",
    "zvault.cli.stage",
    "zvault.cli.declare",
    "zvault.cli.rekey",
)
_INTERRUPTED = 128 + signal.SIGINT
_DAEMONS = {"server": "zvault.cli.server", "unseal-agent": "zvault.cli.unseal_agent"}
"""Started again after a crash while clients wait: only their own module is imported."""


def build(command: str = "") -> "typer.Typer":
    """All commands, or of a daemon's name only that one.

    Modules are imported here so that ``import zvault`` stays cheap and Ctrl-C has no traceback
    even while they are.
    """
    import typer

    program = typer.Typer(
        name="zvault",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Takes a Vault from a laptop set-up to a production one and back, and proves it.",
    )
    if command in _DAEMONS:
        importlib.import_module(_DAEMONS[command]).register(program)
        program.callback()(_no_options)  # keeps the command's name when it is the only one
        return program
    for name, module in _GROUPS.items():
        program.add_typer(importlib.import_module(module).app, name=name)
    for module in _COMMANDS:
        importlib.import_module(module).register(program)
    return program


def _no_options() -> None:
    """The program itself has no options."""


def main() -> None:
    """Entry point of ``zvault``."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        build(command)(prog_name="zvault")
    except SystemExit as end:
        # A daemon has let go of everything by now, and at a cut-over clients wait for its end.
        leave(end, at_once=command in _DAEMONS)
        raise
    except KeyboardInterrupt:
        # Before a command was reached: click reports later ones itself.
        leave(SystemExit(_INTERRUPTED), at_once=True)


if __name__ == "__main__":
    main()
