"""The compression canary: one byte that says how the rest is compressed.

What lives here: ``G`` gzip, ``L`` LZW, ``S`` snappy framed, ``4`` LZ4 frame. Pure. Any other first
byte means: not compressed.
"""

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import cramjam

from zvault.records import lzw
from zvault.records.errors import RecordError

_GZIP = b"G"
_SNAPPY = b"S"
_EXPANDERS: dict[bytes, Callable[[bytes], Any]] = {
    _GZIP: gzip.decompress,
    b"L": lzw.expand,
    _SNAPPY: cramjam.snappy.decompress,
    b"4": cramjam.lz4.decompress,
}
_SNAPPY_STREAM = b"\xff\x06\x00\x00sNaPpY"
"""The stream identifier, which alone is the empty stream."""
_GO_SYSTEM = b"\xff"
"""Go's gzip header names no operating system."""


def expand(data: bytes) -> bytes:
    """The plain bytes. Raises RecordError when the canary lies."""
    expander = _EXPANDERS.get(data[:1])
    if expander is None:
        return data
    try:
        if len(data) == 1:
            raise EOFError
        return bytes(expander(data[1:]))
    except (OSError, EOFError, zlib.error, cramjam.DecompressionError):
        raise RecordError("the entry starts like compressed data and does not expand") from None


def gzipped(data: bytes) -> bytes:
    """With the gzip canary in front, as mount tables are written."""
    stream = gzip.compress(data, 9, mtime=0)
    return _GZIP + stream[:9] + _GO_SYSTEM + stream[10:]


def snappy_framed(data: bytes) -> bytes:
    """With the snappy canary in front, as identity buckets are written."""
    return _SNAPPY + (bytes(cramjam.snappy.compress(data)) or _SNAPPY_STREAM)
