"""The file store's log: what a power cut took from the tree is in here.

What lives here: two segments that take turns, the checkpoint, the mark that keeps other servers
away meanwhile. What never does: the tree's entries; reading back (``file_recovery.py``).

Order (must): the mark is durable before a segment is in use; a record is durable before its
operations touch the tree; the tree is durable before a segment's header says so, the older
segment's first; the mark goes last. Bounds: a segment is full from ``SEGMENT_BYTES`` on, and is
begun again only when the tree holds, durably, all it held before (the caller puts it there); how
long that takes is other programs' doing, so the caller may go on filling it meanwhile.
"""

import contextlib
import errno
import json
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime

from zvault.storage import file_log_format as form
from zvault.storage.api import Operation
from zvault.storage.file_layout import LOG_NAME, encode_entry, entry_path
from zvault.storage.file_system import FileSystem
from zvault.storage.keys import MIGRATION_KEY

SEGMENT_NAMES = ("0", "1")
SEGMENT_BYTES = 4 << 20
OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT)
_GROW_BYTES = 1 << 20
_MARK_FIELD = "zvault_log"


def log_mark() -> bytes:
    """The value of ``core/migration`` while the log is in use; a real server refuses to start."""
    note = "a zvault server writes here; after a crash start it again, or run `zvault store settle`"
    start = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"start": start, _MARK_FIELD: 1, "note": note}).encode() + b"\n"


def is_log_mark(value: bytes) -> bool:
    """True for our own mark, which is no migration's."""
    try:
        document = json.loads(value)
    except ValueError:
        return False
    return isinstance(document, dict) and _MARK_FIELD in document


class Log:
    """Append-only while it is in use. Use from one thread; the checkpoint has its own."""

    def __init__(self, root: str, files: FileSystem, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._root = root
        self._files = files
        self._folder = f"{root}/{LOG_NAME}"
        self._mark = f"{root}/{entry_path(MIGRATION_KEY)}"
        self._limit = segment_bytes
        self._paths = [f"{self._folder}/{name}" for name in SEGMENT_NAMES]
        self._sizes = [0, 0]
        self._headers: list[form.Header | None] = [None, None]
        self._active = 0
        self._epoch = 0
        self._offset = 0
        self._records = 0
        self._has_checkpoint = True
        """Of the segment before the one in use: begun, or there is none."""
        self._checkpoint: Future[None] | None = None
        self._whole: tuple[Future[None], tuple[int, int]] | None = None
        """A sync of a tree that held all up to this record of this use of a segment."""
        self._thread = ThreadPoolExecutor(1, "zvault-checkpoint")

    @property
    def in_use(self) -> bool:
        """Records were written since the tree was last known to be durable."""
        return any(header is not None and header.in_use for header in self._headers)

    def begin(self) -> bool:
        """From an empty log to one in use; False when a migration's mark lies in the store.

        Raises OSError.
        """
        if self.in_use:
            return True
        if os.path.lexists(self._mark):
            return False
        self._begin()
        return True

    @property
    def filled(self) -> float:
        """How much of the segment in use is written, from 0; full from 1 on."""
        return self._offset / self._limit

    @property
    def is_checkpointed(self) -> bool:
        """The other segment can take over at once."""
        checkpoint = self._checkpoint
        return self._has_checkpoint and (checkpoint is None or checkpoint.done())

    def append(self, batch: Sequence[Operation]) -> None:
        """One record of a log in use, durable on return. Raises OSError.

        After one for want of space there is no such record.
        """
        header = self._headers[self._active]
        assert header is not None
        record = form.encode_record(header.salt, self._records, batch)
        path, end = self._paths[self._active], self._offset + len(record)
        try:
            if end > self._sizes[self._active]:
                size = end + -end % _GROW_BYTES
                self._files.write_at(path, self._offset, record + bytes(size - end))
                self._sizes[self._active] = size
            else:
                self._files.write_at(path, self._offset, record)
            self._files.sync_data(path)
        except OSError as cause:
            if cause.errno in OUT_OF_SPACE:
                self._void_record()
            raise
        self._offset = end
        self._records += 1

    def _void_record(self) -> None:
        """What was written of a record must not come back; nothing was, if this has no space."""
        path = self._paths[self._active]
        try:
            self._files.write_at(path, self._offset, bytes(form.BLOCK_BYTES))
            self._files.sync_data(path)
        except OSError as cause:
            if cause.errno not in OUT_OF_SPACE:
                raise

    def turn(self) -> None:
        """The other segment takes over. Raises OSError.

        Only after ``checkpoint``: what the other one held is in the tree.
        """
        assert self._has_checkpoint
        self._finish_checkpoint()
        if self._whole is not None and self._whole[0].done():
            (sync, _), self._whole = self._whole, None
            _check(sync)  # the kernel tells of a lost page once
        other = 1 - self._active
        is_new = self._headers[other] is None
        self._use(other)
        self._has_checkpoint = False
        if is_new:
            self._files.sync([self._folder])

    def checkpoint(self) -> None:
        """The tree holds all that the segment before held: begin to make it durable, once."""
        if not self._has_checkpoint:
            self._has_checkpoint = True
            self._checkpoint = self._thread.submit(self._files.sync_all)

    def is_tree_durable(self, patience_seconds: float | None) -> bool:
        """Whether the tree, which holds all now, is durable; sees to it, waiting no longer than so.

        Ask again after a False, as long as nothing is appended. Raises OSError.
        """
        here = (self._epoch, self._records)
        if self._whole is None:
            self._whole = self._thread.submit(self._files.sync_all), here
        sync, there = self._whole
        wait([sync], patience_seconds)
        if not sync.done():
            return False
        if there != here:
            self._whole = None
        _check(sync)
        return there == here

    def settle(self) -> None:
        """Make the tree durable, which holds all now, and the log empty. Raises OSError."""
        self._finish_checkpoint()
        self._has_checkpoint = True
        if not self.in_use:
            return
        while not self.is_tree_durable(None):
            pass
        self._whole = None
        used = [n for n, header in enumerate(self._headers) if header and header.in_use]
        for number in sorted(used, key=self._epoch_of):
            header = self._headers[number]
            assert header is not None
            self._write_header(number, form.Header(header.epoch, header.salt, in_use=False))
        self._files.remove(self._mark)
        self._files.sync([os.path.dirname(self._mark)])  # noqa: PTH120

    def close(self) -> None:
        """Settle, and leave nothing behind. Raises OSError."""
        try:
            self.settle()
        finally:
            self._thread.shutdown()
        for path, header in zip(self._paths, self._headers, strict=True):
            if header is not None:
                self._files.remove(path)

    def _begin(self) -> None:
        if self._headers[self._active] is None:
            self._write_header(self._active, form.Header(0, bytes(form.SALT_BYTES), in_use=False))
            self._files.sync([self._folder, self._root])
        self._put_mark()
        try:
            self._use(self._active)
        except OSError:
            with contextlib.suppress(OSError):
                self._files.remove(self._mark)
            raise

    def _finish_checkpoint(self) -> None:
        checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is not None:
            _check(checkpoint)

    def _use(self, number: int) -> None:
        """Whatever the segment held is void from here on."""
        self._epoch += 1
        self._write_header(number, form.Header(self._epoch, os.urandom(form.SALT_BYTES), True))
        self._active, self._offset, self._records = number, form.BLOCK_BYTES, 0

    def _write_header(self, number: int, header: form.Header) -> None:
        self._files.write_at(self._paths[number], 0, form.encode_header(header))
        self._files.sync_data(self._paths[number])
        self._headers[number] = header

    def _epoch_of(self, number: int) -> int:
        header = self._headers[number]
        return 0 if header is None else header.epoch

    def _put_mark(self) -> None:
        """Durable on return."""
        folder, temporary = os.path.dirname(self._mark), f"{self._folder}/mark"  # noqa: PTH120
        with contextlib.suppress(FileExistsError):
            self._files.make_folder(folder)
            self._files.sync([self._root])
        try:
            self._files.create(temporary, encode_entry(log_mark()))
            self._files.sync([temporary])
            self._files.rename(temporary, self._mark)
        except OSError:
            with contextlib.suppress(OSError):
                self._files.remove(temporary)
            raise
        self._files.sync([folder])


def _check(sync: "Future[None]") -> None:
    """Wait for its end. Raises OSError."""
    try:
        sync.result()
    except OSError as cause:  # whatever it says: what the kernel failed to write is lost to it
        raise OSError(errno.EIO, cause.strerror) from None
