"""Whatever bytes arrive as a key file: one of our errors, never another exception, never shares."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.keyfiles import make_key_file
from zvault.ops.unseal.errors import KeyFileError
from zvault.ops.unseal.keyfile import parse_key_file
from zvault.ops.unseal.keyfile_header import MAGIC

GOOD = make_key_file()


@settings(deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_rubbish_is_refused_with_a_key_file_error(rubbish: bytes, with_magic: bool) -> None:
    with pytest.raises(KeyFileError) as refusal:
        parse_key_file((MAGIC if with_magic else b"") + rubbish)
    assert refusal.value.hint


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=40), st.integers(0, 40))
def test_any_splice_of_a_good_file_is_refused_or_the_file_itself(
    position: int, piece: bytes, removed: int
) -> None:
    spliced = GOOD[:position] + piece + GOOD[position + removed :]
    if spliced == GOOD:
        return
    with pytest.raises(KeyFileError):
        parse_key_file(spliced)
