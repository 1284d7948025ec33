"""What a writer that did not end well left: replayed, or refused.

What lives here: the log read back into the tree on opening for writing, and the refusal to hand a
store over that needs it. What never does: the log written (``file_log.py``).

Invariants: the log is replayed as long as its mark lies in the store, because then no other server
has written since; without the mark it is refused. A reader that finds a log in use opens the
store only while the writer lives, and follows the log (``file_follower.py``).
"""

import contextlib
import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from zvault.storage.api import Operation
from zvault.storage.errors import DamagedLogError, StoreLockedError, UnreplayedLogError
from zvault.storage.file_layout import LOG_NAME, decode_entry, entry_path
from zvault.storage.file_log import SEGMENT_NAMES, is_log_mark
from zvault.storage.file_log_format import (
    Segment,
    decode_header,
    decode_segment,
    encode_header,
)
from zvault.storage.file_system import FileSystem
from zvault.storage.file_tree import Tree
from zvault.storage.keys import MIGRATION_KEY

_TRIES, _PAUSE_SECONDS = 200, 0.01
_REFUSED_WHEN_ASKED = (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)

_log = logging.getLogger(__name__)


def recover(root: Path, files: FileSystem) -> int:
    """Bring the tree up to date and drop the log; how many batches were replayed.

    The caller holds the lock. Raises DamagedLogError, UnreplayedLogError, OSError.
    """
    folder = root / LOG_NAME
    mark = root / entry_path(MIGRATION_KEY)
    segments = _segments(root)
    used = {name: segment for name, segment in segments.items() if segment.header.in_use}
    is_marked = _is_marked(mark)
    if used and not is_marked:
        raise UnreplayedLogError(
            f"file:{root}",
            f"{LOG_NAME} holds a log in use, and its mark (core/migration) is gone",
            f"another server may have written since; if it has, remove {LOG_NAME}, and what only "
            "the log held is lost; if none has, restore a backup or put the mark back",
        )
    if is_marked and not segments:
        raise UnreplayedLogError(
            f"file:{root}",
            f"it carries the mark of a log (core/migration) and the log ({LOG_NAME}) is gone",
            f"copy the tree again, with {LOG_NAME}, from where it was written; or restore a backup",
        )
    replayed = sum(len(segment.batches) for segment in used.values())
    if used:
        _replay(Tree(str(root), files), used.values())
        files.sync_all()
        for name, segment in used.items():  # the older first: it must never be replayed alone
            settled = encode_header(replace(segment.header, in_use=False))
            files.write_at(str(folder / name), 0, settled)
            files.sync_data(str(folder / name))
    if is_marked:
        files.remove(str(mark))
        files.sync([str(mark.parent)])
    if folder.is_dir():
        for leftover in folder.iterdir():
            files.remove(str(leftover))
        with contextlib.suppress(OSError):
            folder.rmdir()
    return replayed


def _replay(tree: Tree, segments: Iterable[Segment]) -> None:
    """The last word on every key, in the order in which it was said."""
    last: dict[str, Operation] = {}
    for segment in segments:
        for batch in segment.batches:
            for operation in batch:
                last.pop(operation.key, None)
                last[operation.key] = operation
    for operation in last.values():
        try:
            tree.do(operation, set())
        except OSError as cause:
            if cause.errno not in _REFUSED_WHEN_ASKED:
                raise
            _log.warning("not replayed, as it was refused before: %r", operation.key)


def refuse_unreplayed(root: Path) -> None:
    """Raise UnreplayedLogError, DamagedLogError when a reader would not see all that was
    acknowledged; OSError.
    """
    for _ in range(2):  # a writer may begin between the two looks
        if _has_writer(root) or not _is_in_use(root):
            return
    raise UnreplayedLogError(f"file:{root}", f"a server died here and left its log ({LOG_NAME})")


def _is_in_use(root: Path) -> bool:
    is_used = False
    for name in SEGMENT_NAMES:
        try:
            with (root / LOG_NAME / name).open("rb") as file:
                header = decode_header(file.read(512))
        except FileNotFoundError:
            continue
        except ValueError as cause:
            raise DamagedLogError(f"file:{root}", str(cause)) from None
        is_used |= header is not None and header.in_use
    return is_used or (_is_marked(root / entry_path(MIGRATION_KEY)) and not _segments(root))


def _segments(root: Path) -> dict[str, Segment]:
    """Those that were ever begun, the older one first."""
    found: dict[str, Segment] = {}
    for name in SEGMENT_NAMES:
        try:
            segment = decode_segment((root / LOG_NAME / name).read_bytes())
        except FileNotFoundError:
            continue
        except ValueError as cause:
            raise DamagedLogError(f"file:{root}", f"segment {name}: {cause}") from None
        if segment is not None:
            found[name] = segment
    return dict(sorted(found.items(), key=lambda item: item[1].header.epoch))


def _is_marked(mark: Path) -> bool:
    try:
        value = decode_entry(mark.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return value is not None and is_log_mark(value)


def lock_log(root: Path) -> int:
    """Make the log's folder and hold it, as a sign of life to readers; a descriptor to close.

    A reader that looks holds it for an instant. Raises StoreLockedError when one does not let go.
    """
    folder = root / LOG_NAME
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        time.sleep(_PAUSE_SECONDS)
    os.close(descriptor)
    raise StoreLockedError(f"file:{root}", "a reader of its log")


def _has_writer(root: Path) -> bool:
    try:
        descriptor = os.open(root / LOG_NAME, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
