"""The compression canary: one byte that says how the rest is compressed.

What lives here: ``G`` gzip, ``L`` LZW, ``S`` snappy framed, ``4`` LZ4 frame. Pure. Any other first
byte means: not compressed.
"""

import gzip
import zlib

import cramjam

from zvault.records import lzw
from zvault.records.errors import RecordError

_GZIP = b"G"
_LZW = b"L"
_SNAPPY = b"S"
_LZ4 = b"4"


def expand(data: bytes) -> bytes:
    """The plain bytes. Raises RecordError when the canary lies."""
    canary = data[:1]
    try:
        if canary == _GZIP:
            return gzip.decompress(data[1:])
        if canary == _LZW:
            return lzw.expand(data[1:])
        if canary == _SNAPPY:
            return bytes(cramjam.snappy.decompress(data[1:]))
        if canary == _LZ4:
            return bytes(cramjam.lz4.decompress(data[1:]))
    except (OSError, EOFError, zlib.error, cramjam.DecompressionError):
        raise RecordError(f"the entry starts like {canary!r} data and does not expand") from None
    return data


def gzipped(data: bytes) -> bytes:
    """With the gzip canary in front, as mount tables are written."""
    return _GZIP + gzip.compress(data, 9, mtime=0)


def snappy_framed(data: bytes) -> bytes:
    """With the snappy canary in front, as identity buckets are written."""
    return _SNAPPY + bytes(cramjam.snappy.compress(data))
