"""Checks: run in order, each passed, failed or skipped by name; the table and the JSON of them.

What lives here: how outcomes are told. What never does: what is looked at (``journey.py``).
Invariant: a check that was not made is never "passed".
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
import requests

from launcher.programs import LauncherError

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class CheckFailedError(Exception):
    """The property does not hold; one sentence without a secret."""


class CheckSkippedError(Exception):
    """The check cannot be made here; the text says what is missing."""


@dataclass(frozen=True)
class Check:
    """``prove`` returns what was seen, or raises."""

    name: str
    prove: Callable[[], str]


@dataclass(frozen=True)
class Outcome:
    """One check that was made, or not."""

    check: str
    state: str
    detail: str
    seconds: float


def run(checks: Iterable[Check], say: Callable[[Outcome], None]) -> list[Outcome]:
    """All of them, in order; one that fails does not keep the next from being made."""
    outcomes = []
    for check in checks:
        outcome = _run(check)
        outcomes.append(outcome)
        say(outcome)
    return outcomes


def _run(check: Check) -> Outcome:
    begin = time.monotonic()
    try:
        state, detail = PASSED, check.prove()
    except CheckSkippedError as reason:
        state, detail = SKIPPED, str(reason)
    except (CheckFailedError, LauncherError, requests.RequestException) as reason:
        state, detail = FAILED, str(reason)
    except (psycopg.Error, OSError, ValueError, KeyError, TypeError) as reason:
        # its text may quote an answer, and an answer may hold a secret
        state, detail = FAILED, f"an answer in an unknown form: {type(reason).__name__}"
    return Outcome(check.name, state, detail, round(time.monotonic() - begin, 2))


def require(holds: bool, otherwise: str) -> None:
    """Raise CheckFailedError unless it holds."""
    if not holds:
        raise CheckFailedError(otherwise)


def wait_for(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait until it holds. Raises CheckFailedError."""
    end = time.monotonic() + seconds
    while not holds():
        require(time.monotonic() < end, f"{otherwise} within {seconds:.0f} s")
        time.sleep(0.1)


def passed(outcomes: Sequence[Outcome]) -> bool:
    """Something was looked at, and nothing failed."""
    states = {one.state for one in outcomes}
    return PASSED in states and FAILED not in states


def as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The shape of ``--json`` (docs/services.md)."""
    return {
        "passed": passed(outcomes),
        "skipped": [one.check for one in outcomes if one.state == SKIPPED],
        "checks": [asdict(one) for one in outcomes],
    }


def line(outcome: Outcome, width: int) -> str:
    """One row of the table."""
    name = outcome.check.ljust(width)
    return f"{outcome.state:8}{name}  {outcome.seconds:5.1f} s  {outcome.detail}"
