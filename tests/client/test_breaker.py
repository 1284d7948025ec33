"""A circuit breaker opens after failures in a row, lets one try, and closes on its success."""

import pytest

from zakupai_common.breaker import Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_opens_after_failures_in_a_row_and_not_before(clock: Clock) -> None:
    breaker = Breaker(3, 10.0, clock)
    for outcome in ("failed", "failed", "succeeded", "failed", "failed"):
        assert breaker.admit()
        getattr(breaker, outcome)()
        assert not breaker.is_open
    assert breaker.admit()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.admit()
    assert breaker.wait_seconds() == 10.0


@pytest.mark.parametrize(("outcome", "open_afterwards"), [("succeeded", False), ("failed", True)])
def test_after_its_time_one_passes_and_decides(
    clock: Clock, outcome: str, open_afterwards: bool
) -> None:
    breaker = Breaker(1, 10.0, clock)
    breaker.admit()
    breaker.failed()
    clock.now += 10.0
    assert [breaker.admit() for _ in range(3)] == [True, False, False]
    getattr(breaker, outcome)()
    assert breaker.is_open is open_afterwards
    assert breaker.admit() is not open_afterwards


def test_a_trial_that_went_away_lets_the_next_one_try(clock: Clock) -> None:
    breaker = Breaker(1, 10.0, clock)
    breaker.admit()
    breaker.failed()
    clock.now += 10.0
    assert breaker.admit()
    breaker.abandoned()
    assert breaker.is_open
    assert breaker.admit()
