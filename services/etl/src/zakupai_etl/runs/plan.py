"""What a run does next, decided from what is known; pure.

What lives here: the window, the answer to a failed page, the end of a run. What never does: I/O.
Invariants: a run is a success only when each of its parts is done and nothing was refused; a limit
of goszakup is waited for and is no failure.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from zakupai_common.goszakup import CircuitOpenError, GoszakupError, RateLimitedError, Reason

FIRST_DAYS = 7
"""How far back the very first run looks when nobody says."""
OVERLAP = datetime.timedelta(hours=1)
"""Of two windows: goszakup shows a change some time after its ``lastUpdateDate``."""
FAILURES = 5
"""Of one page in a row; each of them is several tries."""
_SHORTEST_WAIT, _FIRST_WAIT, _LONGEST_WAIT = 0.5, 2.0, 60.0


class Status(StrEnum):
    """Of a run."""

    RUNNING = "running"
    SUCCESS = "success"
    PARTIAL_SUCCESS = "partial_success"
    """It ended; some parts failed, or some records were refused."""
    ERROR = "error"
    """It ended and no part is done."""
    CANCELLED = "cancelled"


class PartStatus(StrEnum):
    """Of one entity in a run."""

    WAITING = "waiting"
    """Not at its end yet."""
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Window:
    """Records that changed between these moments."""

    since: datetime.datetime
    until: datetime.datetime


@dataclass(frozen=True)
class Wait:
    """Ask again after this; ``failure``: it counts as one."""

    seconds: float
    reason: str
    failure: bool


@dataclass(frozen=True)
class GiveUp:
    """The part has failed; ``all_parts``: so would the others."""

    reason: str
    all_parts: bool = False


def plan_window(
    now: datetime.datetime, days: int | None, last_end: datetime.datetime | None
) -> Window:
    """``days`` back, or from where the last complete run ended."""
    if days is not None:
        return Window(now - datetime.timedelta(days=days), now)
    if last_end is not None and last_end < now:
        return Window(last_end - OVERLAP, now)
    return Window(now - datetime.timedelta(days=FIRST_DAYS), now)


def decide_after_failure(error: GoszakupError, failures: int) -> Wait | GiveUp:
    """``failures``: of this page in a row, this one included unless it is a limit."""
    if isinstance(error, RateLimitedError):
        return Wait(max(error.wait_seconds, _SHORTEST_WAIT), "rate_limited", failure=False)
    if isinstance(error, CircuitOpenError):
        return Wait(max(error.wait_seconds, _SHORTEST_WAIT), "circuit_open", failure=False)
    reason = reason_of(error)
    if error.reason is Reason.UNAUTHORIZED:
        return GiveUp(reason, all_parts=True)
    if error.reason is Reason.REFUSED or error.reason is None or failures >= FAILURES:
        return GiveUp(reason)
    return Wait(min(_FIRST_WAIT * 2 ** (failures - 1), _LONGEST_WAIT), reason, failure=True)


def reason_of(error: GoszakupError) -> str:
    """A word for metrics and answers, out of a closed set (``SYNC_REASONS``)."""
    if isinstance(error, RateLimitedError):
        return "rate_limited"
    if isinstance(error, CircuitOpenError):
        return "circuit_open"
    return "not_found" if error.reason is None else error.reason.value


DATABASE, VAULT, UNFORESEEN = "database", "vault", "unforeseen"
"""Why a run was cut off; it goes on."""
_CUT_OFF = (DATABASE, VAULT, UNFORESEEN)
SYNC_REASONS = ("circuit_open", "not_found", *_CUT_OFF, *(reason.value for reason in Reason))


def decide_end(parts: Sequence[tuple[PartStatus, int]]) -> Status:
    """The status of a run whose parts have these statuses and numbers of refused records."""
    done = [refused for status, refused in parts if status is PartStatus.DONE]
    if not done:
        return Status.ERROR
    return Status.SUCCESS if len(done) == len(parts) and not any(done) else Status.PARTIAL_SUCCESS
