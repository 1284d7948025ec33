"""The door of the program: the list of commands.

What lives here: one line a command group. A group lives in a module of its own and exports ``app``
(a group) or ``register`` (top-level commands).
"""

import importlib
import sys

import typer

_GROUPS = {
    "store": "zvault.cli.store",
    "keyfile": "zvault.cli.keyfile",
    "backup": "zvault.cli.backup",
    "tls": "zvault.cli.tls",
    "frontdoor": "zvault.cli.frontdoor",
}
_COMMANDS = ("zvault.cli.server", "zvault.cli.unseal_agent", "zvault.cli.migrate", "zvault.cli.stage")


def build() -> typer.Typer:
    """All commands. Modules are imported here so that ``import zvault`` stays cheap."""
    program = typer.Typer(
        name="zvault",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Takes a Vault from a laptop set-up to a production one and back, and proves it.",
    )
    for name, module in _GROUPS.items():
        program.add_typer(importlib.import_module(module).app, name=name)
    for module in _COMMANDS:
        importlib.import_module(module).register(program)
    return program


def main() -> None:
    """Entry point of ``zvault``."""
    build()(prog_name="zvault")


if __name__ == "__main__":
    sys.exit(main())
