"""What every command prints: a result (sentences or JSON) on stdout, progress and errors on stderr.

What lives here: the one place that turns an error into text and an exit code. Invariant: no
traceback reaches a user unless ``ZVAULT_DEBUG`` asks for it, and then without local variables.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson
import typer

from zvault.base.errors import ZvaultError
from zvault.cli.exits import INTERNAL, exit_code


def emit(result: dict[str, Any], *, as_json: bool, lines: list[str]) -> None:
    """Print the result: one JSON object with ``--json``, else the sentences."""
    if as_json:
        sys.stdout.write(
            orjson.dumps(result, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n"
        )
    else:
        sys.stdout.write("".join(line + "\n" for line in lines))
    sys.stdout.flush()


def emit_json(text: bytes, *, pretty: bool) -> None:
    """Print one JSON text; ``pretty`` only spaces it, numbers keep their digits."""
    sys.stdout.write(msgspec.json.format(text, indent=2 if pretty else 0).decode() + "\n")
    sys.stdout.flush()


def progress(text: str) -> None:
    """One line on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextlib.contextmanager
def reporting_errors(*, as_json: bool = False) -> Iterator[None]:
    """Turn errors into one sentence, one hint and the documented exit code."""
    try:
        yield
    except ZvaultError as error:
        _report(error.code, error.message, error.hint, as_json=as_json)
        raise typer.Exit(exit_code(error)) from None
    except (typer.Exit, typer.Abort, KeyboardInterrupt):
        raise
    except Exception as error:
        if os.environ.get("ZVAULT_DEBUG"):
            traceback.print_exc()
        name = type(error).__name__
        _report("internal", f"unexpected {name}", "run again with ZVAULT_DEBUG=1", as_json=as_json)
        raise typer.Exit(INTERNAL) from None


def _report(code: str, message: str, hint: str, *, as_json: bool) -> None:
    if as_json:
        body = {"error": {"code": code, "message": message, "hint": hint}}
        sys.stdout.write(orjson.dumps(body).decode() + "\n")
    sys.stderr.write(f"zvault: {message}\n" + (f"hint: {hint}\n" if hint else ""))
