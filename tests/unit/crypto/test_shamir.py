"""Splitting and combining: limits, shape, what is refused."""

import itertools
import os

import pytest

from zvault.crypto.errors import ShareError
from zvault.crypto.shamir import combine, split

SECRET = bytes(range(32))


def test_a_share_is_one_byte_longer_and_ends_in_its_number() -> None:
    shares = split(SECRET, 5, 3, os.urandom)
    assert [len(share) for share in shares] == [33] * 5
    numbers = [share[-1] for share in shares]
    assert len(set(numbers)) == 5
    assert 0 not in numbers


def test_every_choice_of_threshold_many_gives_the_secret_and_fewer_do_not() -> None:
    shares = split(SECRET, 5, 3, os.urandom)
    assert all(combine(chosen) == SECRET for chosen in itertools.combinations(shares, 3))
    assert all(combine(chosen) != SECRET for chosen in itertools.combinations(shares, 2))


def test_all_255_numbers_can_be_used() -> None:
    shares = split(b"x", 255, 2, os.urandom)
    assert sorted(share[-1] for share in shares) == list(range(1, 256))
    assert combine([shares[0], shares[254]]) == b"x"


def test_coefficients_come_from_the_given_randomness() -> None:
    zeros = split(SECRET, 3, 2, bytes)
    assert all(share[:-1] == SECRET for share in zeros)
    assert [share[-1] for share in zeros] == [1, 2, 3]


@pytest.mark.parametrize(("shares", "threshold"), [(1, 1), (5, 1), (2, 3), (256, 3), (0, 0)])
def test_impossible_numbers_are_refused(shares: int, threshold: int) -> None:
    with pytest.raises(ShareError):
        split(SECRET, shares, threshold, os.urandom)


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(ShareError):
        split(b"", 3, 2, os.urandom)


@pytest.mark.parametrize(
    "shares",
    [[], [b"ab"], [b"ab", b"abc"], [b"a", b"b"], [b"ab", b"cb"], [b"a\0", b"ab"]],
    ids=["none", "one", "lengths", "too short", "same number", "number zero"],
)
def test_shares_that_cannot_belong_together_are_refused(shares: list[bytes]) -> None:
    with pytest.raises(ShareError):
        combine(shares)
