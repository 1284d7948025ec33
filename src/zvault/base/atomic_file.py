"""Files that are either the old one or the new one, also after a power cut.

What lives here: write-temp, fsync, rename, fsync of the directory; directories that stay; the check
that a secret file is nobody else's to read. What never does: formats.
"""

import os
import stat
from pathlib import Path

from zvault.base.errors import PreconditionError

PRIVATE_MODE = 0o600
PRIVATE_FOLDER_MODE = 0o700
SHARED_FOLDER_MODE = 0o777
"""The umask decides."""


def write_atomic(path: Path, content: bytes, mode: int = PRIVATE_MODE) -> None:
    """Replace ``path`` with ``content``; durable on return.

    The temporary file lies beside the target (same file system), created with ``mode`` and never
    wider. Raises OSError; the target is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def make_folders(
    path: Path, mode: int = PRIVATE_FOLDER_MODE, above: int = SHARED_FOLDER_MODE
) -> tuple[Path, ...]:
    """Make the directory and what is missing above it; durable on return, as all in it needs.

    ``mode``: of the directory itself. ``above``: of those above it, which others may need to walk
    through. Returns what was made, outermost first. Raises OSError.
    """
    if path.is_dir():
        return ()
    made = make_folders(path.parent, above, above)
    path.mkdir(mode, exist_ok=True)
    fsync_directory(path.parent)
    return (*made, path)


def fsync_directory(path: Path) -> None:
    """Make the directory's entries durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_private(path: Path) -> None:
    """Raise PreconditionError when others than the owner can read or write ``path``."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        raise PreconditionError(f"{path} does not exist", hint="name an existing file") from None
    except OSError as cause:
        raise PreconditionError(
            f"{path} cannot be looked at: {cause.strerror}", hint="check the path and its owner"
        ) from None
    if mode & 0o077:
        raise PreconditionError(
            f"{path} has mode {mode:04o}, so others can read it", hint=f"chmod 600 {path}"
        )
