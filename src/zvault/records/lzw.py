"""LZW as Go's ``compress/lzw`` reads it: least significant bit first, 8-bit literals. Pure.

Only very old entries use it, so there is a reader and no writer.
"""

from zvault.records.errors import RecordError

_CLEAR = 256
_END = 257
_FIRST = 258
_MAX_WIDTH = 12


def expand(data: bytes, most: int) -> bytes:
    """The decompressed bytes, ``most`` of them. Raises RecordError."""
    table: list[bytes] = []
    output: list[bytes] = []
    width, previous = 9, b""
    accumulator = bits = position = size = 0
    while True:
        while bits < width:
            if position == len(data):
                raise RecordError("an LZW entry is cut short")
            accumulator |= data[position] << bits
            position, bits = position + 1, bits + 8
        code = accumulator & ((1 << width) - 1)
        accumulator, bits = accumulator >> width, bits - width
        if code == _END:
            return b"".join(output)
        if code == _CLEAR:
            table, width, previous = [], 9, b""
            continue
        piece = _piece(code, table, previous)
        output.append(piece)
        size += len(piece)
        if size > most:
            raise RecordError("an LZW entry expands to more than any entry holds")
        if previous and _FIRST + len(table) < 1 << _MAX_WIDTH:
            table.append(previous + piece[:1])
        # The writer is one entry ahead of us: it widens when the next code would not fit.
        if _FIRST + len(table) >= 1 << width and width < _MAX_WIDTH:
            width += 1
        previous = piece


def _piece(code: int, table: list[bytes], previous: bytes) -> bytes:
    if code < _CLEAR:
        return bytes((code,))
    index = code - _FIRST
    if index < len(table):
        return table[index]
    if index == len(table) and previous:
        return previous + previous[:1]
    raise RecordError("an LZW entry holds an impossible code")
