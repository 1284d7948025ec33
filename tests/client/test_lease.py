"""When a token is renewed and how long a failing service waits: decisions without a clock."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zakupai_common.secret import Secret
from zakupai_common.vault.lease import Due, Lease, backoff_seconds, begin, prolong

TOKEN = Secret("t")
LUCK = st.floats(0, 1)
SECONDS = st.floats(1, 10**7)
ROUNDING = 1e-12
"""What the last digit of a float may add or take."""


def lease_of(seconds: float, *, renewable: bool = True, luck: float = 0.0) -> Lease:
    return begin(TOKEN, seconds, renewable=renewable, now=0.0, luck=luck)


@given(SECONDS, LUCK)
@example(407725.0, 1.0)
def test_a_token_is_renewed_at_two_thirds_of_its_lease_or_a_little_before(
    seconds: float, luck: float
) -> None:
    lease = lease_of(seconds, luck=luck)
    earliest, latest = 0.6 * seconds * (1 - ROUNDING), seconds * 2 / 3 * (1 + ROUNDING)
    assert earliest <= lease.due_at <= latest
    assert lease.due(lease.due_at * 0.999) is Due.NOTHING
    assert lease.due(lease.due_at) is Due.RENEWAL


@given(SECONDS)
def test_a_token_that_cannot_be_renewed_is_replaced_while_it_still_works(seconds: float) -> None:
    lease = lease_of(seconds, renewable=False)
    assert lease.due(lease.due_at) is Due.LOGIN
    assert lease.due_at < lease.ends_at


def test_a_token_without_an_end_needs_nothing() -> None:
    lease = lease_of(0)
    assert lease.ends_at == math.inf
    assert lease.due(10.0**12) is Due.NOTHING


@pytest.mark.parametrize(("granted", "due"), [(60, Due.RENEWAL), (31, Due.RENEWAL)])
def test_a_renewal_that_grants_enough_is_repeated(granted: float, due: Due) -> None:
    lease = prolong(lease_of(60), granted, renewable=True, now=40.0, luck=0.0)
    assert lease.due(lease.due_at) is due


@pytest.mark.parametrize("granted", [30, 10, 1])
def test_renewals_that_shrink_end_in_a_login_before_the_token_does(granted: float) -> None:
    lease = prolong(lease_of(60), granted, renewable=True, now=40.0, luck=0.0)
    assert lease.due(lease.due_at) is Due.LOGIN
    assert lease.due_at < lease.ends_at


def test_a_token_past_its_end_is_replaced_not_renewed() -> None:
    assert lease_of(60).due(61) is Due.LOGIN


@given(st.integers(1, 10_000), LUCK)
def test_waits_grow_to_a_limit_and_are_never_nothing(failures: int, luck: float) -> None:
    wait = backoff_seconds(failures, luck, first=0.5, longest=30)
    whole = min(30, 0.5 * 2 ** min(failures - 1, 20))
    assert 0.1 * whole <= wait <= whole


def test_waits_of_many_services_are_spread_over_nine_tenths() -> None:
    waits = [backoff_seconds(9, luck / 99, first=0.5, longest=30) for luck in range(100)]
    assert (min(waits), max(waits)) == (3.0, 30.0)
