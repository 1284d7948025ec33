"""Figures out of the ledger: a step's operations, what was in flight at its cut-over. Pure."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from demo.load.ledger import Operation
from demo.proof.findings import Verdict


@dataclass(frozen=True)
class Kill:
    """One kill -9: when, and how long until the server was healthy again."""

    stage: int
    at: float
    unsealed_after_ms: float


@dataclass
class Step:
    """One chapter of the demo. Times are CLOCK_MONOTONIC seconds."""

    name: str
    title: str
    started: float
    ended: float = 0.0
    cutover: bool = False
    short: str = ""
    verdict: Verdict | None = None
    kills: list[Kill] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.ended - self.started


@dataclass(frozen=True)
class StepFigures:
    """What the load went through during a step; an operation belongs to where it began."""

    operations: int
    failed: int
    longest_ms: float
    in_flight: int


def step_figures(operations: Iterable[Operation], started: float, ended: float) -> StepFigures:
    """Count the operations that began in a period."""
    mine = [op for op in operations if started <= op.started < ended]
    return StepFigures(
        operations=len(mine),
        failed=sum(not op.ok for op in mine),
        longest_ms=max((op.seconds * 1000 for op in mine), default=0.0),
        in_flight=in_flight_at_the_longest_silence(mine),
    )


def in_flight_at_the_longest_silence(operations: Sequence[Operation]) -> int:
    """How many operations waited while, for the longest time, none ended: the cut-over itself."""
    ends = sorted(op.ended for op in operations if op.ended is not None)
    if len(ends) < 2:
        return 0
    _, silence_end = max(itertools.pairwise(ends), key=lambda pair: pair[1] - pair[0])
    return sum(
        op.started < silence_end and (op.ended is None or op.ended >= silence_end)
        for op in operations
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of them lie; 0 without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
