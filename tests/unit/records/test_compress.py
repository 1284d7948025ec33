"""The canary byte and the four compressions."""

import gzip
import tracemalloc

import cramjam
import pytest

from zvault.records import compress, lzw
from zvault.records.errors import RecordError


def lzw_pack(data: bytes) -> bytes:
    """LZW as Go's writer does it: clear first, clear again when the table is full."""
    bits: list[tuple[int, int]] = [(256, 9)]
    table: dict[tuple[int, int], int] = {}
    high, width = 257, 9
    code = data[0] if data else None

    def emit(value: int) -> bool:
        """True when the table was dropped."""
        nonlocal high, width
        bits.append((value, width))
        high += 1
        if high == 1 << width:
            width += 1
        if high < 4095:
            return False
        bits.append((256, width if width <= 12 else 12))
        table.clear()
        high, width = 257, 9
        return True

    for literal in data[1:]:
        assert code is not None
        if (code, literal) in table:
            code = table[code, literal]
            continue
        if not emit(code):
            table[code, literal] = high
        code = literal
    if code is not None:
        emit(code)
    bits.append((257, width))
    number = shift = 0
    for value, size in bits:
        number |= value << shift
        shift += size
    return number.to_bytes((shift + 7) // 8, "little")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a",
        b"aaaaaaaaaaaaaaaaa",
        bytes(range(256)) * 4,
        bytes((n * n) % 251 for n in range(70_000)),
    ],
    ids=["empty", "one", "run", "all bytes", "long"],
)
def test_lzw_of_any_length_expands(data: bytes) -> None:
    assert lzw.expand(lzw_pack(data), len(data)) == data


def test_what_we_compress_expands() -> None:
    data = b'{"type":"mounts"}\n' * 100
    for stored in (compress.gzipped(data), compress.snappy_framed(data)):
        assert len(stored) < len(data)
        assert compress.expand(stored) == data
    assert compress.expand(b"4" + bytes(cramjam.lz4.compress(data))) == data


def test_gzip_has_the_header_that_go_writes() -> None:
    assert compress.gzipped(b"x")[:11] == b"G" + bytes.fromhex("1f8b08000000000002ff")


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'"text"', b"\x0a\x12raw protobuf", b"\0\0"])
def test_data_without_a_canary_stays_as_it_is(data: bytes) -> None:
    assert compress.expand(data) == data


@pytest.mark.parametrize("canary", [b"G", b"L", b"S", b"4"])
@pytest.mark.parametrize("rest", [b"", b"x", b"\xff" * 50])
def test_a_canary_that_lies_is_an_error(canary: bytes, rest: bytes) -> None:
    with pytest.raises(RecordError):
        compress.expand(canary + rest)


def test_cut_gzip_is_an_error() -> None:
    with pytest.raises(RecordError):
        compress.expand(compress.gzipped(b"x" * 1000)[:-5])


def lzw_bomb(codes: int) -> bytes:
    """Each code one byte longer than the one before."""
    number = shift = 0
    entries, width = 0, 9
    for turn in range(codes):
        code = 65 if not turn else min(258 + entries, 4095) if entries < 3838 else 4095
        number, shift = number | code << shift, shift + width
        if turn and entries < 3838:
            entries += 1
        if 258 + entries >= 1 << width and width < 12:
            width += 1
    return (number | 257 << shift).to_bytes((shift + width + 7) // 8, "little")


def bombs() -> dict[str, bytes]:
    zeros = bytes(compress.MAX_EXPANDED_BYTES + 1)
    snappy = bytes(cramjam.snappy.compress(zeros))
    half = gzip.compress(zeros[: len(zeros) // 2 + 1])
    return {
        "gzip": b"G" + gzip.compress(zeros),
        "gzip of members": b"G" + half + half,
        "snappy": b"S" + snappy,
        "lz4": b"4" + bytes(cramjam.lz4.compress(zeros)),
        "lzw": b"L" + lzw_bomb(25_000),
    }


def test_what_expands_beyond_any_entry_is_refused_before_it_takes_the_memory() -> None:
    for name, bomb in bombs().items():
        tracemalloc.start()
        with pytest.raises(RecordError, match="expands to more"):
            compress.expand(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * compress.MAX_EXPANDED_BYTES, name
        tracemalloc.stop()


def test_the_largest_entry_there_may_be_expands() -> None:
    data = bytes(compress.MAX_EXPANDED_BYTES)
    for stored in (
        b"G" + gzip.compress(data),
        compress.snappy_framed(data),
        b"4" + bytes(cramjam.lz4.compress(data)),
    ):
        assert compress.expand(stored) == data
