"""The compression canary: one byte that says how the rest is compressed.

What lives here: ``G`` gzip, ``L`` LZW, ``S`` snappy framed, ``4`` LZ4 frame. Pure. Any other first
byte means: not compressed.
Invariant: an entry that would expand beyond MAX_EXPANDED_BYTES is an error before the memory is
taken.
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
MAX_EXPANDED_BYTES = 64 << 20
"""No entry of a real store comes near: servers take requests of half of it."""
_LZ4_MAGIC = b"\x04\x22\x4d\x18"
_SNAPPY_CHUNK_BYTES = 65_536
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


def _check_size(size: int) -> None:
    if size > MAX_EXPANDED_BYTES:
        raise RecordError("the entry expands to more than any entry holds")


def _gunzip(data: bytes) -> bytes:
    """All members, one after another, as gzip files may have them."""
    result = bytearray()
    while data:
        inflater = zlib.decompressobj(wbits=31)
        result += inflater.decompress(data, MAX_EXPANDED_BYTES + 1 - len(result))
        _check_size(len(result))
        if not inflater.eof:
            raise EOFError
        data = inflater.unused_data.lstrip(b"\0")
    return bytes(result)


def _unsnap(data: bytes) -> Any:
    """Frames, each of which expands to one chunk at the most."""
    position = chunks = 0
    while position < len(data):
        chunks += data[position] in (0, 1)
        position += 4 + int.from_bytes(data[position + 1 : position + 4], "little")
    if chunks * _SNAPPY_CHUNK_BYTES <= MAX_EXPANDED_BYTES:
        return cramjam.snappy.decompress(data)
    raise RecordError("the entry expands to more than any entry holds")


def _unlz4(data: bytes) -> Any:
    _check_size(_lz4_bound(data))
    return cramjam.lz4.decompress(data)


def _lz4_bound(data: bytes) -> int:
    """The most that LZ4 frames can expand to: a byte stands for 255 at the most, a block for the
    size its frame says. Raises OSError for what is no frame."""
    total = position = 0
    while position < len(data):
        flags, descriptor = data[position + 4 : position + 6].ljust(2, b"\0")
        if data[position : position + 4] != _LZ4_MAGIC or not 4 <= descriptor >> 4 & 7 <= 7:
            raise OSError
        most = 1 << 8 + 2 * (descriptor >> 4 & 7)
        position += 7 + 8 * (flags >> 3 & 1) + 4 * (flags & 1)
        while size := int.from_bytes(data[position : position + 4], "little"):
            is_plain, size = size >> 31, size & 0x7FFF_FFFF
            total += min(most, size if is_plain else 255 * size)
            position += 4 + size + 4 * (flags >> 4 & 1)
        position += 4 + 4 * (flags >> 2 & 1)
    return total


def _unlzw(data: bytes) -> bytes:
    return lzw.expand(data, MAX_EXPANDED_BYTES)


_EXPANDERS: dict[bytes, Callable[[bytes], Any]] = {
    _GZIP: _gunzip,
    b"L": _unlzw,
    _SNAPPY: _unsnap,
    b"4": _unlz4,
}


def gzipped(data: bytes) -> bytes:
    """With the gzip canary in front, as mount tables are written."""
    stream = gzip.compress(data, 9, mtime=0)
    return _GZIP + stream[:9] + _GO_SYSTEM + stream[10:]


def snappy_framed(data: bytes) -> bytes:
    """With the snappy canary in front, as identity buckets are written."""
    return _SNAPPY + (bytes(cramjam.snappy.compress(data)) or _SNAPPY_STREAM)
