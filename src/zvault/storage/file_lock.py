"""One writer at a time: a lock on the store's own directory.

What lives here: flock on the root, without a lock file that a copy would carry along. What never
does: locks between machines; ``core/migration`` and the fence are there for that. A real server
of another make takes no lock, so this protects only from ourselves.
"""

import fcntl
import os
from pathlib import Path

from zvault.storage.errors import StoreLockedError


def lock_directory(root: Path) -> int:
    """A descriptor that holds the lock until it is closed.

    Raises StoreLockedError, which names the holder when the machine lets us know it; OSError.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = find_holder(descriptor)
        os.close(descriptor)
        raise StoreLockedError(f"file:{root}", holder) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def find_holder(descriptor: int) -> str:
    """Who holds the lock on this directory, as well as /proc tells (Linux)."""
    status = os.fstat(descriptor)
    wanted = (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino)
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return "another process"
    for line in lines:
        pid = _holder_in(line, wanted)
        if pid:
            return f"process {pid}{_name_of(pid)}"
    return "another process"


def _holder_in(line: str, wanted: tuple[int, int, int]) -> int:
    """The pid of a granted flock on ``wanted`` in one line of /proc/locks, else 0."""
    fields = line.split()
    if len(fields) < 6 or fields[1] != "FLOCK":
        return 0
    major, minor, inode = fields[5].split(":")
    return int(fields[4]) if (int(major, 16), int(minor, 16), int(inode)) == wanted else 0


def _name_of(pid: int) -> str:
    try:
        return f" ({Path(f'/proc/{pid}/comm').read_text().strip()})"
    except OSError:
        return ""
