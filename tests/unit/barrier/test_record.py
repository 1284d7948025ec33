"""One record: every region protected or named."""

import pytest

from zvault.barrier.errors import UnreadableEntryError
from zvault.barrier.record import OVERHEAD, open_record, record_term, seal_record
from zvault.crypto.aead import new_aead

KEY = "logical/u/foo"
AEADS = {3: new_aead(b"k" * 32), 4: new_aead(b"l" * 32)}
RECORD = seal_record(AEADS[3], 3, KEY, b"plaintext", b"n" * 12)


def reason(key: str, record: bytes) -> str:
    with pytest.raises(UnreadableEntryError) as caught:
        open_record(AEADS, key, record)
    assert caught.value.key == key
    return caught.value.reason


def test_a_record_opens_under_its_key_and_says_its_term() -> None:
    assert open_record(AEADS, KEY, RECORD) == b"plaintext"
    assert record_term(RECORD) == 3
    assert len(RECORD) == OVERHEAD + len(b"plaintext")


def test_an_empty_plaintext_is_legal_and_33_bytes_long() -> None:
    record = seal_record(AEADS[3], 3, KEY, b"", b"n" * 12)
    assert len(record) == 33
    assert open_record(AEADS, KEY, record) == b""


def test_a_record_moved_to_another_key_does_not_open() -> None:
    assert "authentication" in reason("logical/u/bar", RECORD)


@pytest.mark.parametrize("position", range(len(RECORD)))
@pytest.mark.parametrize("bit", [0, 7])
def test_a_flipped_bit_anywhere_is_named(position: int, bit: int) -> None:
    broken = bytearray(RECORD)
    broken[position] ^= 1 << bit
    said = reason(KEY, bytes(broken))
    if position < 4:
        assert "term" in said or "authentication" in said
    elif position == 4:
        assert "version" in said or "authentication" in said
    else:
        assert "authentication" in said


@pytest.mark.parametrize("length", range(OVERHEAD))
def test_a_record_cut_below_its_least_length_is_named(length: int) -> None:
    assert "cut short" in reason(KEY, RECORD[:length])


def test_a_record_cut_inside_its_ciphertext_is_named() -> None:
    assert "authentication" in reason(KEY, RECORD[:-1])


def test_an_unknown_term_and_version_are_named() -> None:
    assert "term 9" in reason(KEY, b"\0\0\0\x09" + RECORD[4:])
    assert "version 3" in reason(KEY, RECORD[:4] + b"\x03" + RECORD[5:])


def test_a_record_of_another_term_does_not_open() -> None:
    assert "authentication" in reason(KEY, b"\0\0\0\x04" + RECORD[4:])


def test_a_version_byte_turned_into_1_does_not_open() -> None:
    assert "authentication" in reason(KEY, RECORD[:4] + b"\x01" + RECORD[5:])


def test_an_empty_key_means_no_associated_data() -> None:
    record = seal_record(AEADS[3], 3, "", b"batch token", b"n" * 12)
    as_version_1 = record[:4] + b"\x01" + record[5:]
    assert open_record(AEADS, "anything", as_version_1) == b"batch token"


def test_a_file_name_that_is_no_utf_8_is_bound_by_its_bytes() -> None:
    key = b"logical/u/\xff".decode("utf-8", "surrogateescape")
    record = seal_record(AEADS[3], 3, key, b"x", b"n" * 12)
    assert open_record(AEADS, key, record) == b"x"


def test_a_record_of_a_key_with_a_slash_opens_under_its_name_and_nowhere_else() -> None:
    """``oidc_tokens/config/``: storage drops the slash, the record is bound to it."""
    record = seal_record(AEADS[3], 3, "a/config/", b"x", bytes(range(12)))
    assert open_record(AEADS, "a/config/", record) == b"x"
    assert open_record(AEADS, "a/config", record) == b"x"
    for other in ("a/confi", "a/config//", "a", "a/other", "a/config/x"):
        with pytest.raises(UnreadableEntryError):
            open_record(AEADS, other, record)
    plain = seal_record(AEADS[3], 3, "a/config", b"x", bytes(range(12)))
    with pytest.raises(UnreadableEntryError):
        open_record(AEADS, "a/config/", plain)
