"""Compressed bytes to plain ones, bounded and honest about the end.

What lives here: a reader over zstd or gzip that never gives more than it is allowed, tells a
truncated stream from a damaged one, and notices what follows the end. What never does: tar.
"""

import zlib
from typing import BinaryIO, Protocol

import zstandard

from zvault.ops.backup.errors import (
    BackupDamagedError,
    BackupFormatError,
    BackupTruncatedError,
    UnsafeArchiveError,
)

_ZSTD_MAGIC, _GZIP_MAGIC = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"
_CHUNK = 2048
"""So little at a time that even the densest input makes no more than some 64 MiB of output."""
_MAX_WINDOW = 1 << 27


class _Codec(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class InflatingReader:
    """A file of plain bytes. ``allow`` raises the number of bytes it may give in all."""

    def __init__(self, file: BinaryIO, allowed: int) -> None:
        self._file = file
        self._allowed = allowed
        self._given = 0
        self._ready = memoryview(b"")
        head = file.read(_CHUNK)
        self._codec = _codec(head)
        self._feed(head)

    def allow(self, more: int) -> None:
        """Permit this many bytes more."""
        self._allowed += more

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, fewer only at the end; -1 is not supported, streams ask for blocks.

        Raises BackupTruncatedError, BackupDamagedError, UnsafeArchiveError.
        """
        parts, wanted = [], size
        while wanted > 0:
            if not self._ready:
                if self._codec.eof:
                    break
                self._more()
                continue
            part, self._ready = self._ready[:wanted], self._ready[wanted:]
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def drain(self) -> None:
        """Read to the end: only zeros may follow, and then nothing. Raises as ``read``."""
        while block := self.read(1 << 16):
            if block.strip(b"\0"):
                raise BackupDamagedError(
                    "the archive goes on after its end", hint="use another backup"
                )
        if self._codec.unused_data or self._file.read(1):
            raise BackupDamagedError(
                "something follows the compressed archive", hint="use another backup"
            )

    def _more(self) -> None:
        chunk = self._file.read(_CHUNK)
        if not chunk:
            raise BackupTruncatedError("the archive is cut short", hint="use another backup")
        self._feed(chunk)

    def _feed(self, chunk: bytes) -> None:
        try:
            plain = self._codec.decompress(chunk)
        except (zlib.error, zstandard.ZstdError):
            raise BackupDamagedError(
                "the archive's compression is damaged", hint="use another backup"
            ) from None
        self._given += len(plain)
        if self._given > self._allowed:
            raise UnsafeArchiveError(
                "the archive unpacks to more than its manifest announces",
                hint="this archive was not made by zvault; do not restore it",
            )
        self._ready = memoryview(plain)


def _codec(head: bytes) -> _Codec:
    if head.startswith(_ZSTD_MAGIC):
        return zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj()
    if head.startswith(_GZIP_MAGIC):
        return zlib.decompressobj(wbits=31)
    if head and (_ZSTD_MAGIC.startswith(head) or _GZIP_MAGIC.startswith(head)):
        raise BackupTruncatedError("the archive is cut short", hint="use another backup")
    raise BackupFormatError(
        "the file is neither .tar.zst nor .tar.gz" if head else "the file is empty",
        hint="decrypt it first if it is encrypted, or name another file",
    )
