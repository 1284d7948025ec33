"""Files that hold a secret: read only when nobody else can.

What lives here: open, look at what was opened, read. Invariant: the judged file is the read file
(one descriptor), so swapping it in between does not help anybody.
"""

import os
import stat
from pathlib import Path

from zvault.base.errors import PreconditionError
from zvault.base.secret import Secret

MAX_BYTES = 1 << 20


def read_private(path: Path, what: str, *, forbidden_bits: int = 0o077) -> Secret:
    """The content of a regular file of ours (or root's) with mode at most 0600.

    ``what`` names it in errors; ``forbidden_bits`` of the mode refuse it. Raises
    PreconditionError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as cause:
        raise PreconditionError(
            f"the {what} {path} cannot be opened: {cause.strerror}", hint="check path and owner"
        ) from None
    try:
        _check(os.fstat(descriptor), path, what, forbidden_bits)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as cause:
        raise PreconditionError(
            f"the {what} {path} cannot be read: {cause.strerror}", hint="check the disk"
        ) from None
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        raise PreconditionError(
            f"the {what} {path} is larger than {MAX_BYTES} bytes", hint="is it the right file?"
        )
    return Secret(content)


def _check(status: os.stat_result, path: Path, what: str, forbidden_bits: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PreconditionError(f"the {what} {path} is no regular file", hint="name a file")
    mode = stat.S_IMODE(status.st_mode)
    if mode & forbidden_bits:
        raise PreconditionError(
            f"the {what} {path} has mode {mode:04o}, so others can read it",
            hint=f"chmod 600 {path}",
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise PreconditionError(
            f"the {what} {path} belongs to uid {status.st_uid}, who can change and read it",
            hint=f"chown {os.geteuid()} {path}",
        )
