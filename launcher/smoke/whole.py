"""The smoke as one call: grounds, the journey, the metrics; a row for each check.

What lives here: the order. What never does: a check.
Invariant: what was started for it (Prometheus) is stopped, also on a signal.
"""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from launcher.estate import Estate
from launcher.programs import LauncherError
from launcher.smoke.checks import Outcome, as_json, line, passed, run
from launcher.smoke.grounds import grounds
from launcher.smoke.journey import Journey
from launcher.smoke.watching import watching


def smoke(estate: Estate, *, json_wanted: bool) -> int:
    """Make every check and print; 0 only if all that could be made hold. Raises LauncherError."""
    if not estate.place.keys_file.exists():
        raise LauncherError("nothing was started here: `make services` first")
    journey = Journey(estate)
    with _ended_by_signals(), watching(estate, journey) as metrics:
        checks = [*grounds(estate), metrics.before(), *journey.checks(), *metrics.after()]
        width = max(len(one.name) for one in checks)
        outcomes = run(checks, lambda one: None if json_wanted else _print(line(one, width)))
    if json_wanted:
        _print(json.dumps(as_json(outcomes), ensure_ascii=False, indent=1))
    else:
        _print(_verdict(outcomes))
    return 0 if passed(outcomes) else 1


def _verdict(outcomes: list[Outcome]) -> str:
    counts = {state: sum(one.state == state for one in outcomes) for state in _STATES}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"smoke: {told}"


_STATES = ("passed", "failed", "skipped")


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    def stop(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
