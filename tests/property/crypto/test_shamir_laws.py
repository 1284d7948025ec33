"""Laws of secret sharing for any secret and any numbers."""

import os

from hypothesis import given
from hypothesis import strategies as st

from zvault.crypto.shamir import combine, split

numbers = st.integers(2, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(2, n)))


@given(st.binary(min_size=1, max_size=64), numbers, st.randoms())
def test_any_threshold_many_shares_in_any_order_give_the_secret(
    secret: bytes, counts: tuple[int, int], random: object
) -> None:
    shares, threshold = counts
    parts = split(secret, shares, threshold, os.urandom)
    random.shuffle(parts)  # type: ignore[attr-defined]
    assert combine(parts[:threshold]) == secret
    assert combine(parts) == secret


@given(st.binary(min_size=16, max_size=32), st.integers(0, 7), st.data())
def test_a_changed_share_changes_the_result(secret: bytes, bit: int, data: st.DataObject) -> None:
    parts = split(secret, 4, 3, os.urandom)[:3]
    position = data.draw(st.integers(0, len(secret) - 1))
    broken = bytearray(parts[1])
    broken[position] ^= 1 << bit
    assert combine([parts[0], bytes(broken), parts[2]]) != secret
