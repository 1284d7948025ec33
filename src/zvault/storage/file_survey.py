"""A whole tree listed in one go, and what an inode says about its content.

What lives here: the scan and the stamps. What never does: an entry opened.

Why a stamp can be believed (must): a file's time of change cannot be set, and each write sets it
from the kernel's clock, which ticks every few milliseconds; so a file has a stamp only when its
last change is further back than any tick, and only on a disk of this machine, whose inodes are not
somebody's copy of them.
"""

import os
import re
import time
from pathlib import Path

from zvault.storage.file_layout import OUR_NAMES, child_name
from zvault.storage.listing import ObjectInfo, Stamp

_AGE_NS = 2 * 10**9
"""Also the coarsest clock of a local file system."""
_LOCAL_DISKS = frozenset(
    ("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "tmpfs", "xfs", "zfs")
)
_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Stamper:
    """Stamps of the files below one root."""

    def __init__(self, root: str) -> None:
        self._device = Path(root).stat().st_dev if is_local_disk(root) else None

    def stamp(self, found: os.stat_result, now_ns: int) -> Stamp | None:
        """Inode, time of change and size; None for a file too young, or on another disk.

        ``now_ns``: the wall clock, read before ``found`` was.
        """
        if found.st_dev != self._device or now_ns - found.st_ctime_ns < _AGE_NS:
            return None
        return found.st_ino, found.st_ctime_ns, found.st_size


def is_local_disk(root: str) -> bool:
    """Whether ``root`` lies on a file system of this machine; False when nobody says so."""
    place = os.path.realpath(root)
    kind, longest = "", -1
    try:
        lines = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    for line in lines:
        before, _, after = line.partition(" - ")
        point = _ESCAPE.sub(lambda found: chr(int(found[1], 8)), before.split(" ")[4])
        is_above = point == "/" or place == point or place.startswith(point + "/")
        if is_above and len(point) >= longest:  # the last of several at one point covers the others
            kind, longest = after.split(" ")[0], len(point)
    return kind in _LOCAL_DISKS


def scan(root: str, stamper: Stamper) -> dict[str, ObjectInfo]:
    """Every key below ``root``, as listings name them. Raises OSError."""
    now_ns = time.time_ns()
    found: dict[str, ObjectInfo] = {}
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        try:
            with os.scandir(f"{root}/{prefix}") as entries:
                for entry in entries:
                    if prefix or entry.name not in OUR_NAMES:
                        _take(entry, prefix, found, waiting, stamper, now_ns)
        except (FileNotFoundError, NotADirectoryError):
            if not prefix:
                raise
    return found


def _take(
    entry: "os.DirEntry[str]",
    prefix: str,
    found: dict[str, ObjectInfo],
    waiting: list[str],
    stamper: Stamper,
    now_ns: int,
) -> None:
    is_folder = entry.is_dir(follow_symlinks=False)
    key = prefix + child_name(entry.name, is_folder)
    if is_folder:
        waiting.append(key)
    elif entry.name.startswith("_"):
        try:
            stamp = stamper.stamp(entry.stat(follow_symlinks=False), now_ns)
        except FileNotFoundError:
            return
        found[key] = ObjectInfo(key, stamp=stamp)
    else:
        found.setdefault(key, ObjectInfo(key))  # a stray file; an entry of that name comes first
