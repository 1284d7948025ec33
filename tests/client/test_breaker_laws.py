"""A breaker against what it promises, whatever happens in whatever order."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from zakupai_common.breaker import Breaker

FAILURES, PAUSE = 3, 10.0


class BreakerLaws(RuleBasedStateMachine):
    """Keeps its own account of failures in a row and of who is inside."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = Breaker(FAILURES, PAUSE, lambda: self.now)
        self.in_a_row = 0
        self.last_failure = 0.0
        self.inside = 0
        self.trial = False

    @property
    def open(self) -> bool:
        return self.in_a_row >= FAILURES

    @rule(seconds=st.sampled_from([0.0, 1.0, 9.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def somebody_asks(self) -> None:
        rested = self.now - self.last_failure >= PAUSE
        expected = not self.open or (rested and not self.trial)
        assert self.breaker.admit() is expected
        if expected:
            self.inside += 1
            self.trial = self.open

    @precondition(lambda self: self.inside)
    @rule()
    def it_works(self) -> None:
        self.inside -= 1
        self.in_a_row, self.trial = 0, False
        self.breaker.succeeded()

    @precondition(lambda self: self.inside)
    @rule()
    def it_fails(self) -> None:
        self.inside -= 1
        self.in_a_row += 1
        self.last_failure, self.trial = self.now, False
        self.breaker.failed()

    @precondition(lambda self: self.inside)
    @rule()
    def it_is_given_up(self) -> None:
        self.inside -= 1
        self.trial = False
        self.breaker.abandoned()

    @invariant()
    def it_says_what_it_is(self) -> None:
        assert self.breaker.is_open is self.open
        wait = max(0.0, self.last_failure + PAUSE - self.now) if self.open else 0.0
        assert self.breaker.wait_seconds() == wait


TestBreakerLaws = BreakerLaws.TestCase
TestBreakerLaws.settings = settings(max_examples=50, stateful_step_count=40)
