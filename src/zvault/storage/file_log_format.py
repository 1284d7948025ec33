"""The bytes of the file store's log: segments of batches of operations. Pure.

What lives here: encoding, and reading back what a power cut may have left. What never does: a file
opened, a batch applied.
Layout (``docs/formats/storage.md``): blocks of 512 bytes; block 0 is the header, each record
begins a block. Invariants: a record counts only whole, and only under the header's salt, which no
earlier use of the segment had and nobody can guess; only the last record can be torn, because each
is durable before the next is written, so a whole record behind a broken one is damage.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from zvault.storage.api import Delete, Operation, Put

BLOCK_BYTES = 512
SALT_BYTES = 16
_HEADER = struct.Struct("<8sBQ16s")
_HEADER_MAGIC = b"zvaultL1"
_RECORD = struct.Struct("<4s16sQI")
_RECORD_MAGIC = b"zvlr"
_CRC = struct.Struct("<I")
_RECORD_HEAD_BYTES = _RECORD.size + _CRC.size
_PUT = struct.Struct("<BII")
_KIND_PUT, _KIND_DELETE = 1, 2


@dataclass(frozen=True, slots=True)
class Header:
    """``epoch`` grows with every use of a segment. ``in_use``: the tree may lack its records."""

    epoch: int
    salt: bytes
    in_use: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as it was found."""

    header: Header
    batches: tuple[tuple[Operation, ...], ...]
    end: int = BLOCK_BYTES
    """Where the next record goes."""


def encode_header(header: Header) -> bytes:
    """Block 0."""
    body = _HEADER.pack(_HEADER_MAGIC, header.in_use, header.epoch, header.salt)
    return (body + _CRC.pack(zlib.crc32(body))).ljust(BLOCK_BYTES, b"\0")


def encode_record(salt: bytes, number: int, batch: Sequence[Operation]) -> bytes:
    """One batch, padded to whole blocks. ``number``: its place in the segment, from 0."""
    parts: list[bytes] = []
    for operation in batch:
        key = operation.key.encode()
        if isinstance(operation, Put):
            parts += (_PUT.pack(_KIND_PUT, len(key), len(operation.value)), key, operation.value)
        else:
            parts += (_PUT.pack(_KIND_DELETE, len(key), 0), key)
    payload = b"".join(parts)
    head = _RECORD.pack(_RECORD_MAGIC, salt, number, len(payload))
    crc = _CRC.pack(zlib.crc32(payload, zlib.crc32(head)))
    size = _RECORD_HEAD_BYTES + len(payload)
    return b"".join((head, crc, payload, bytes(-size % BLOCK_BYTES)))


def decode_header(content: bytes) -> Header | None:
    """None for a segment that was never begun (all zero). Raises ValueError with the cause."""
    if not content[:BLOCK_BYTES].strip(b"\0"):
        return None
    if len(content) < _HEADER.size + _CRC.size:
        raise ValueError("its header is cut short")
    magic, in_use, epoch, salt = _HEADER.unpack_from(content)
    if magic != _HEADER_MAGIC:
        raise ValueError("it is no log of this version")
    if _CRC.unpack_from(content, _HEADER.size)[0] != zlib.crc32(content[: _HEADER.size]):
        raise ValueError("its header is damaged")
    return Header(epoch, salt, bool(in_use))


def decode_segment(content: bytes) -> Segment | None:
    """Every whole batch, in order; None for a segment never begun.

    Raises ValueError for damage that no power cut explains.
    """
    header = decode_header(content)
    if header is None:
        return None
    if not header.in_use:
        return Segment(header, ())
    batches, end = decode_records(content, header.salt, 0, BLOCK_BYTES)
    for later in range(end + BLOCK_BYTES, len(content), BLOCK_BYTES):
        if _record_at(content, later, header.salt) is not None:
            raise ValueError(f"record {len(batches)} is damaged and a whole one follows")
    return Segment(header, tuple(batches), end)


def decode_records(
    content: bytes, salt: bytes, number: int, offset: int = 0
) -> tuple[list[tuple[Operation, ...]], int]:
    """The whole batches from ``offset`` on, the first of which has ``number``; where they end.

    Raises ValueError when one is missing.
    """
    batches: list[tuple[Operation, ...]] = []
    while (record := _record_at(content, offset, salt)) is not None:
        found, payload, size = record
        if found != number + len(batches):
            raise ValueError(f"record {number + len(batches)} is missing")
        batches.append(_operations(payload))
        offset += size
    return batches, offset


def promised_bytes(content: bytes, salt: bytes) -> int:
    """The unpadded size of the record that begins here, whole or not; 0 when none does."""
    if len(content) < _RECORD_HEAD_BYTES:
        return 0
    magic, found_salt, _, length = _RECORD.unpack_from(content)
    return _RECORD_HEAD_BYTES + length if magic == _RECORD_MAGIC and found_salt == salt else 0


def _record_at(content: bytes, offset: int, salt: bytes) -> tuple[int, bytes, int] | None:
    """Number, payload and padded size of the whole record at ``offset``."""
    start = offset + _RECORD_HEAD_BYTES
    if start > len(content):
        return None
    magic, found_salt, number, length = _RECORD.unpack_from(content, offset)
    if magic != _RECORD_MAGIC or found_salt != salt or start + length > len(content):
        return None
    payload = content[start : start + length]
    head = content[offset : offset + _RECORD.size]
    if _CRC.unpack_from(content, offset + _RECORD.size)[0] != zlib.crc32(payload, zlib.crc32(head)):
        return None
    size = _RECORD_HEAD_BYTES + length
    return number, payload, size + -size % BLOCK_BYTES


def _operations(payload: bytes) -> tuple[Operation, ...]:
    found: list[Operation] = []
    offset = 0
    while offset < len(payload):
        kind, key_size, value_size = _PUT.unpack_from(payload, offset)
        offset += _PUT.size
        key = payload[offset : offset + key_size].decode()
        offset += key_size
        if kind == _KIND_DELETE:
            found.append(Delete(key))
        elif kind == _KIND_PUT:
            found.append(Put(key, payload[offset : offset + value_size]))
            offset += value_size
        else:
            raise ValueError(f"an operation of kind {kind}")
    return tuple(found)
