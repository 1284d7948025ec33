"""A secret typed by a person, or given as a line on standard input where nobody sits.

What lives here: one question. What never does: what the answer means.
Invariant: a terminal never shows what is typed; without one nothing is echoed anyway.
"""

import getpass
import os
import sys

from zvault.base.errors import UsageError

MAX_LINE_BYTES = 8192


def ask_hidden(prompt: str) -> str:
    """The answer without its line end.

    Raises EOFError when there is neither a terminal nor a line left, UsageError for what is no
    text or longer than ``MAX_LINE_BYTES``.
    """
    if _has_terminal():
        return getpass.getpass(prompt)
    if sys.stdin is None:
        raise EOFError
    line = sys.stdin.buffer.readline(MAX_LINE_BYTES + 1)
    if not line:
        raise EOFError
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise UsageError("standard input is no text", hint="give one line of text") from None
    if len(line) > MAX_LINE_BYTES:
        raise UsageError(
            f"a line on standard input is longer than {MAX_LINE_BYTES} bytes",
            hint="give one line of text",
        )
    return text.rstrip("\r\n")


def _has_terminal() -> bool:
    """Whether getpass can switch echo off; where it cannot, it warns and reads all the same."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return sys.stdin is not None and sys.stdin.isatty()
    return True
