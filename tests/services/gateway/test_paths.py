"""A path means one thing to the gateway and to the service behind it."""

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zakupai_gateway.paths import PathRefusedError, Target, UnknownPathError, split


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        (b"/api/calc/vat", Target("calc", "/vat")),
        (b"/api/calc", Target("calc", "/")),
        (b"/api/calc/", Target("calc", "/")),
        (b"/api/risk-engine/risk/explain/17", Target("risk-engine", "/risk/explain/17")),
        (b"/api/calc/vat/", Target("calc", "/vat/")),
        (b"/api/etl/files/a%20b.csv", Target("etl", "/files/a%20b.csv")),
        (b"/api/etl/%D0%BB%D0%BE%D1%82", Target("etl", "/%D0%BB%D0%BE%D1%82")),
        (b"/api/etl/.well-known/x", Target("etl", "/.well-known/x")),
        (b"/api/etl/a..b/...", Target("etl", "/a..b/...")),
        (b"/api/etl/100%25", Target("etl", "/100%25")),
    ],
)
def test_a_path_is_handed_on_byte_for_byte(raw: bytes, target: Target) -> None:
    assert split(raw) == target


@pytest.mark.parametrize(
    "raw",
    [
        b"/api/calc/../billing/users",
        b"/api/calc/..",
        b"/api/./calc/vat",
        b"/api/calc/%2e%2e/billing",
        b"/api/calc/.%2E/billing",
        b"/api/calc/..;x=1/billing",
        b"/api/calc/%2e%2e%3bx/billing",
        b"/api/calc/%2f..%2fbilling",
        b"/api/calc/a%2Fb",
        b"/api/calc/a%5cb",
        b"/api/calc/a\\b",
        b"/api//calc/vat",
        b"/api/calc//vat",
        b"/api/calc/vat//",
        b"/api/calc/%252e%252e/billing",
        b"/api/calc/a%252fb",
        b"/api/calc/a%25252fb",
        b"/api/calc/a%00",
        b"/api/calc/a%0d%0ab",
        b"/api/calc/a%7f",
        b"/api/calc/%zz",
        b"/api/calc/%2",
        b"/api/calc/\xd0\xbb",
        b"/api/calc/%ff",
        b"/api/calc/a b",
        b"/api/calc/<x>",
        b"/api/c%61lc/../x",
    ],
)
def test_a_path_that_could_be_read_in_two_ways_is_refused(raw: bytes) -> None:
    with pytest.raises(PathRefusedError):
        split(raw)


@pytest.mark.parametrize(
    "raw", [b"/api/", b"/api/Calc/x", b"/api/c%61lc/x", b"/other/calc", b"/api/-x/y", b"/"]
)
def test_a_path_without_a_plain_service_name_names_none(raw: bytes) -> None:
    with pytest.raises(UnknownPathError):
        split(raw)


PIECES = st.sampled_from(
    [
        b"/",
        b".",
        b"..",
        b"%2e",
        b"%2f",
        b"%25",
        b"%",
        b"a",
        b";",
        b"\\",
        b"calc",
        b"%5C",
        b"2f",
        b"2e",
    ]
)


@given(st.lists(PIECES, max_size=12))
def test_what_passes_has_the_same_segments_however_often_it_is_decoded(pieces: list[bytes]) -> None:
    raw = b"/api/calc/" + b"".join(pieces)
    try:
        target = split(raw)
    except PathRefusedError:
        return
    assert raw == b"/api/calc" + target.path.encode()
    text = target.path.encode()
    for _ in range(3):
        decoded = unquote_to_bytes(text)
        assert decoded.count(b"/") == text.count(b"/")
        names = [segment.partition(b";")[0] for segment in decoded.split(b"/")]
        assert b"." not in names
        assert b".." not in names
        assert b"\\" not in decoded
        text = decoded
