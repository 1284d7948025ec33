"""The root of every error that a user may see.

What lives here: the categories, each of which has one exit code (``cli/exits.py``) and, where the
server can meet it, one HTTP status (``server/errors.py``). What never does: a domain noun. Rooms
subclass a category and set ``code``.
Invariant: a message names the cause in one sentence, a hint says what to do next, and neither ever
carries a secret.
"""

import os
from typing import ClassVar, TypeGuard


class ZvaultError(Exception):
    """An error with a stable slug, one sentence and one hint."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ZvaultError):
    """The call's words are off: unknown option, bad URL, file of the wrong shape."""

    code = "usage"


class PreconditionError(ZvaultError):
    """The world is not as the command needs it; nothing was changed."""

    code = "precondition"


class VerificationError(ZvaultError):
    """Something was checked and is not so: a digest differs, an entry does not decrypt."""

    code = "verification"


class RolledBackError(ZvaultError):
    """The work failed and everything was put back."""

    code = "rolled-back"


class InterruptedRunError(ZvaultError):
    """The work stopped half-way; the journal says how far and ``resume`` goes on."""

    code = "interrupted"


class SealedError(ZvaultError):
    """The Vault is sealed or not initialised."""

    code = "sealed"


class UnreachableError(ZvaultError):
    """A server, bucket or file system did not answer or refused us."""

    code = "unreachable"


class BusyError(ZvaultError):
    """Another operator or another server holds the lock."""

    code = "busy"


class NotFoundError(ZvaultError):
    """The thing asked for is not there (absent, deleted or destroyed)."""

    code = "not-found"


def system_sentence(error: OSError) -> str:
    """What the operating system refused, in its own words: which file, and why."""
    why = error.strerror or type(error).__name__
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if _is_name(name)]
    return f"{' and '.join(names)}: {why}" if names else f"the system refused: {why}"


def _is_name(name: object) -> TypeGuard[str | bytes]:
    return isinstance(name, str | bytes)
