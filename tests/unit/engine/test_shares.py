"""Collecting unseal shares."""

import pytest

from zvault.engine.errors import InvalidRequestError
from zvault.engine.seal.shares import ShareCollection

A, B, C = (bytes([n]) * 33 for n in (1, 2, 3))


def test_a_share_given_twice_counts_once() -> None:
    shares = ShareCollection()
    assert shares.add(A, 3, "n1") is None
    assert shares.add(A, 3, "n2") is None
    assert (shares.progress, shares.nonce) == (1, "n1")


def test_the_threshold_hands_all_over_and_empties_the_collection() -> None:
    shares = ShareCollection()
    shares.add(A, 3, "n")
    shares.add(B, 3, "x")
    collected = shares.add(C, 3, "y")
    assert collected is not None
    assert [share.reveal() for share in collected] == [A, B, C]
    assert (shares.progress, shares.nonce) == (0, "")


def test_reset_forgets() -> None:
    shares = ShareCollection()
    shares.add(A, 3, "n")
    shares.reset()
    assert (shares.progress, shares.nonce) == (0, "")


@pytest.mark.parametrize(("length", "word"), [(15, "shorter"), (34, "longer"), (0, "shorter")])
def test_impossible_lengths_are_refused(length: int, word: str) -> None:
    shares = ShareCollection()
    with pytest.raises(InvalidRequestError, match=word):
        shares.add(bytes(length), 3, "n")
    assert shares.progress == 0
