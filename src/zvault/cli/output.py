"""What every command prints: a result (sentences or JSON) on stdout, progress and errors on stderr.

What lives here: the one place that turns an error into text and an exit code. Invariant: no
traceback reaches a user unless ``ZVAULT_DEBUG`` asks for it, and then without local variables.
"""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, TextIO

import msgspec
import orjson
import typer

from zvault.base.errors import UnreachableError, ZvaultError, system_sentence
from zvault.cli.exits import EXIT_CODES, INTERNAL, exit_code

_told: ContextVar[bool] = ContextVar("told", default=False)
"""Whether standard output holds the JSON object already."""
_NOBODY_READS = 128 + signal.SIGPIPE


def emit(result: dict[str, Any], *, as_json: bool, lines: list[str]) -> None:
    """Print the result: one JSON object with ``--json``, else the sentences."""
    if as_json:
        _told.set(True)
        _print(_json(result, orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    else:
        _print(*lines)


def emit_json(text: bytes, *, pretty: bool) -> None:
    """Print one JSON text; ``pretty`` only spaces it, numbers keep their digits."""
    _print(msgspec.json.format(text, indent=2 if pretty else 0).decode())


def progress(text: str) -> None:
    """One line on stderr."""
    _write(sys.stderr, text)


def _print(*lines: str) -> None:
    """Lines of the result on stdout. Nobody reading it (``| head``) ends the command."""
    if not _write(sys.stdout, *lines):
        raise typer.Exit(_NOBODY_READS)


def _write(stream: TextIO, *lines: str) -> bool:
    """False when the other end of the pipe is closed."""
    try:
        stream.write("".join(_printable(line) + "\n" for line in lines))
        stream.flush()
    except BrokenPipeError:
        # Python flushes once more at its end; let that go nowhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        return False
    return True


def _json(value: dict[str, Any], option: int = 0) -> str:
    """JSON text, also of file names that are no UTF-8."""
    try:
        return orjson.dumps(value, option=option).decode()
    except TypeError:
        return orjson.dumps(_without_surrogates(value), option=option).decode()


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _printable(value)
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value


def _printable(text: str) -> str:
    """A file name that is no UTF-8 holds lone surrogates, which no stream takes: escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


@contextlib.contextmanager
def reporting_errors(*, as_json: bool = False) -> Iterator[None]:
    """Turn errors into one sentence, one hint and the documented exit code.

    A command that has printed its result and then finds it wanting has said its one JSON object.
    """
    _told.set(False)
    try:
        yield
    except ZvaultError as error:
        _report(error.code, error.message, error.hint, as_json=as_json)
        raise typer.Exit(exit_code(error)) from None
    except (typer.Exit, typer.Abort, KeyboardInterrupt):
        raise
    except OSError as error:
        if os.environ.get("ZVAULT_DEBUG"):
            traceback.print_exc()
        code = "system-refused"
        _report(code, system_sentence(error), "check disk, owner and mode", as_json=as_json)
        raise typer.Exit(EXIT_CODES[UnreachableError]) from None
    except Exception as error:
        if os.environ.get("ZVAULT_DEBUG"):
            traceback.print_exc()
        name = type(error).__name__
        _report("internal", f"unexpected {name}", "run again with ZVAULT_DEBUG=1", as_json=as_json)
        raise typer.Exit(INTERNAL) from None


def _report(code: str, message: str, hint: str, *, as_json: bool) -> None:
    if as_json and not _told.get():
        _print(_json({"error": {"code": code, "message": message, "hint": hint}}))
    progress(f"zvault: {message}" + (f"\nhint: {hint}" if hint else ""))
