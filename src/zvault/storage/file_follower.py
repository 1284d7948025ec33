"""A living writer's log, followed by a reader of its tree.

What lives here: the last words that a log in use holds, as far as it has been read. What never
does: the tree, a write, a lock.
Invariants: what was acknowledged before ``refresh`` is known after it, here or in the tree; a
segment's words are forgotten when its header says that the tree has them, never earlier. No file
stays open.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from zvault.storage import file_log_format as form
from zvault.storage.api import Operation
from zvault.storage.errors import DamagedLogError
from zvault.storage.file_layout import LOG_NAME
from zvault.storage.file_log import SEGMENT_NAMES
from zvault.storage.file_pending import Folders, split

_TAIL_BYTES = 1 << 14
_TRIES = 5
"""A segment read while it is written may look damaged; one that is damaged looks so each time."""


class _Part:
    """One use of a segment, read up to ``offset``."""

    def __init__(self, header: form.Header) -> None:
        self.header = header
        self.offset = form.BLOCK_BYTES
        self.records = 0
        self.folders: Folders = {}

    def take(self, batches: Iterable[Iterable[Operation]]) -> None:
        for batch in batches:
            self.records += 1
            for operation in batch:
                folder, name = split(operation.key)
                self.folders.setdefault(folder, {})[name] = operation


class LogFollower:
    """What the log of ``root`` says that the tree does not say yet. ``refresh``, then ask."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._paths = [root / LOG_NAME / name for name in SEGMENT_NAMES]
        self._parts: list[_Part] = []
        """The segments in use, the younger first."""

    def refresh(self) -> None:
        """Read on. Raises DamagedLogError, OSError."""
        for attempt in range(_TRIES):
            try:
                found = [part for path in self._paths if (part := self._read(path)) is not None]
            except ValueError as cause:
                if attempt + 1 == _TRIES:
                    raise DamagedLogError(f"file:{self._root}", str(cause)) from None
                continue
            self._parts = sorted(found, key=lambda part: part.header.epoch, reverse=True)
            return

    def find(self, key: str) -> Operation | None:
        """The last word on ``key``, as of the last refresh; None: the tree has it."""
        folder, name = split(key)
        for part in self._parts:
            names = part.folders.get(folder)
            if names is not None and name in names:
                return names[name]
        return None

    def changes(self, folder: str) -> Iterable[Operation]:
        """The last words on the entries of ``folder``, given without its slash."""
        found: dict[str, Operation] = {}
        for part in reversed(self._parts):
            found.update(part.folders.get(folder, {}))
        return found.values()

    def everything(self) -> Iterable[Operation]:
        """The last words on all entries, as of the last refresh."""
        found: dict[str, Operation] = {}
        for part in reversed(self._parts):
            for names in part.folders.values():
                found.update((operation.key, operation) for operation in names.values())
        return found.values()

    def _read(self, path: Path) -> _Part | None:
        """The segment as it is now; None when it is not in use. Raises ValueError, OSError."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            header = form.decode_header(os.pread(descriptor, form.BLOCK_BYTES, 0))
            if header is None or not header.in_use:
                return None
            for part in self._parts:
                if part.header == header:
                    _read_on(descriptor, part)
                    return part
            return _read_whole(descriptor)
        finally:
            os.close(descriptor)


def _read_whole(descriptor: int) -> _Part | None:
    content = bytearray()
    while chunk := os.pread(descriptor, form.BLOCK_BYTES << 11, len(content)):
        content += chunk
    segment = form.decode_segment(bytes(content))
    if segment is None or not segment.header.in_use:
        return None
    part = _Part(segment.header)
    part.take(segment.batches)
    part.offset = segment.end
    return part


def _read_on(descriptor: int, part: _Part) -> None:
    """What was appended since. A segment that was begun anew meanwhile has another salt."""
    wanted = _TAIL_BYTES
    while True:
        content = os.pread(descriptor, wanted, part.offset)
        batches, end = form.decode_records(content, part.header.salt, part.records)
        part.take(batches)
        part.offset += end
        if end:
            wanted = _TAIL_BYTES
        elif form.promised_bytes(content, part.header.salt) <= len(content) or not content:
            return
        elif wanted > len(content):
            return  # torn, or not all written yet
        else:
            wanted = form.promised_bytes(content, part.header.salt)
