"""Options that the commands about a site share, and what they mean.

What lives here: where the site file is, what the operator brings. What never does: the work; a
secret in argv.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from zvault.app.site import DEFAULT_FILE
from zvault.app.wiring import Brought
from zvault.base.errors import UsageError
from zvault.base.private_file import read_private
from zvault.base.secret import Secret
from zvault.cli.output import progress
from zvault.ops.migration.errors import MigrationInterruptedError
from zvault.ops.unseal.shares import prompt_shares, read_shares_file
from zvault.storage.copy import Progress

SiteOption = Annotated[Path, typer.Option("--site", help="The site's file.")]
SharesFileOption = Annotated[
    Path | None,
    typer.Option("--shares-file", help="JSON list of base64 shares, mode at most 0600."),
]
PromptOption = Annotated[
    int, typer.Option("--prompt-shares", min=0, help="Ask for this many shares instead.")
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option("--token-file", help="The operator's Vault token, mode at most 0600."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SITE_DEFAULT = DEFAULT_FILE


def brought(shares_file: Path | None, prompt: int, token_file: Path | None) -> Brought:
    """What the operator brings; nothing is read yet. Raises UsageError for two sources."""
    if shares_file is not None and prompt:
        raise UsageError("shares come from one place", hint="give --shares-file or --prompt-shares")
    shares: Callable[[], Sequence[Secret]] | None = None
    if shares_file is not None:
        shares = _once(lambda: read_shares_file(shares_file))
    elif prompt:
        shares = _once(lambda: prompt_shares(prompt))
    token = None if token_file is None else lambda: _token(token_file)
    return Brought(shares, token)


def stopwatch() -> Callable[[str], None]:
    """A ``say`` that puts the seconds since its making before each line, on stderr."""
    begin = time.monotonic()
    return lambda text: progress(f"{time.monotonic() - begin:8.2f} s  {text}")


def copy_progress(say: Callable[[str], None]) -> Callable[[Progress], None]:
    """Entries and rate of a copy, about twice a second."""

    def tell(seen: Progress) -> None:
        say(f"  {seen.entries} entries, {seen.entries_per_second:.0f}/s")

    return tell


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C leaves the journal open and says how to go on. Raises MigrationInterruptedError."""
    try:
        yield
    except KeyboardInterrupt:
        raise MigrationInterruptedError(
            "stopped by hand, half-way",
            hint="zvault status shows how far; then zvault resume or zvault rollback",
        ) from None


def _once(read: Callable[[], Sequence[Secret]]) -> Callable[[], Sequence[Secret]]:
    """Read at the first call; a person is not asked twice."""
    kept: list[Sequence[Secret]] = []

    def again() -> Sequence[Secret]:
        if not kept:
            kept.append(read())
        return kept[0]

    return again


def _token(path: Path) -> Secret:
    """One line, or the ``root_token`` of what ``zvault init`` wrote."""
    text = read_private(path, "token file").reveal().strip()
    if text.startswith(b"{"):
        text = _root_token(text, path)
    if not text or b"\n" in text:
        raise UsageError(f"{path} must hold one token on one line", hint="write it again")
    return Secret(text)


def _root_token(text: bytes, path: Path) -> bytes:
    try:
        token = json.loads(text).get("root_token")
    except ValueError:
        token = None
    if not isinstance(token, str):
        raise UsageError(
            f"{path} is neither one token on one line nor what zvault init wrote",
            hint="write it again",
        )
    return token.encode()
