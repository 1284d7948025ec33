"""Base64 is read as Go reads it, and refused at the byte where Go refuses it."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zvault.base.gobase64 import GoBase64Error, decode, decode_raw_url, encode_raw_url


@given(st.binary(max_size=100))
def test_what_was_encoded_comes_back(data: bytes) -> None:
    assert decode(base64.b64encode(data).decode()) == data
    assert decode_raw_url(encode_raw_url(data)) == data


@pytest.mark.parametrize(
    ("text", "content"),
    [("", b""), ("aG\r\nk=", b"hi"), ("aGk\n=\n", b"hi"), ("aR==", b"i"), ("\n", b"")],
)
def test_line_ends_and_loose_last_bits_are_fine(text: str, content: bytes) -> None:
    assert decode(text) == content


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("!!", 0),
        ("aGk", 0),
        ("aGkx!", 4),
        ("aGkxa", 4),
        ("aGk=aa", 4),
        ("aG k=", 2),
        ("aG=k", 2),
        ("aG=", 3),
        ("=", 0),
        ("a===", 1),
        ("aGk==", 4),
        ("aGk=\nx", 5),
        ("a\nGk", 1),
        ("é", 0),
        ("aGk\ud800", 3),
        ("a_-k", 1),
    ],
)
def test_an_error_names_the_byte_and_not_the_text(text: str, offset: int) -> None:
    with pytest.raises(GoBase64Error) as error:
        decode(text)
    assert str(error.value) == f"illegal base64 data at input byte {offset}"


@given(st.text(alphabet="aGk=+/-_!\n ", max_size=12))
def test_nothing_is_decoded_that_the_strict_reader_would_refuse(text: str) -> None:
    try:
        content = decode(text)
    except GoBase64Error:
        return
    plain = text.replace("\n", "")
    assert base64.b64decode(plain, validate=True) == content
    assert len(plain) % 4 == 0


@pytest.mark.parametrize("text", ["a", "aGk=", "a+/k", "é"])
def test_url_safe_text_has_no_padding_and_its_own_letters(text: str) -> None:
    with pytest.raises(GoBase64Error):
        decode_raw_url(text)
