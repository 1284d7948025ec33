"""Files that hold a credential: read only when strangers cannot, replaced as a whole.

What lives here: read and write. Invariants: the judged file is the read file (one descriptor); a
reader finds the old content or the new one, never half of it.
"""

import os
import stat
from pathlib import Path

from zakupai_common.secret import Secret
from zakupai_common.vault.errors import SettingsError

MAX_BYTES = 64 << 10
WRITABLE_BY_STRANGERS = 0o022
"""What the mode of a file may not have that is no secret, but says who we are."""
STRANGERS = 0o037
"""What a credential's mode may not have: others nothing, the group no more than reading."""


def read_private(path: Path, what: str, *, forbidden_bits: int = STRANGERS) -> Secret[str]:
    """The file's text without surrounding space. Raises SettingsError, which names ``what``."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as cause:
        raise SettingsError(f"the {what} file {path} cannot be opened: {cause.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISREG(status.st_mode):
            raise SettingsError(f"the {what} file {path} is no regular file")
        if mode & forbidden_bits:
            raise SettingsError(
                f"the {what} file {path} has mode {mode:04o}: strangers can read or change it",
                hint=f"chmod 600 {path}",
            )
        content = file.read(MAX_BYTES + 1)
    text = content.decode("ascii", "replace").strip()
    if not text or len(content) > MAX_BYTES or not text.isprintable() or "\ufffd" in text:
        raise SettingsError(f"the {what} file {path} does not hold a {what}")
    return Secret(text)


def write_private(path: Path, content: Secret[str]) -> None:
    """Replace the file, durable on return; a file that was there keeps owner and mode.

    Raises OSError; the file is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            try:
                old = path.stat()
            except FileNotFoundError:
                pass
            else:
                if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(descriptor, old.st_uid, old.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & ~STRANGERS)
            file.write(content.reveal().encode())
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
