"""``python -m demo``: a real Vault's store goes 7 → 8 → 9 → 8 → 7 under load.

Exit code 0 only if every promise was kept; 1 if one was broken; 2 for a call that makes no sense.
"""

import argparse
import os
import sys
from pathlib import Path

from demo.options import Options
from demo.place import ROOT
from demo.report.outcome import TABLE_HEAD, steps_table
from demo.report.programs import TABLE_HEAD as PROGRAMS_HEAD
from demo.report.programs import programs_table
from demo.run import LeakingReportError, MissingProgramError, end_on_signal, start_run, write_report
from demo.sabotage import KINDS, SERVICE_KINDS
from demo.screen import Screen

_STEPS = ("stage7", "load", "stage8", "kill8", "stage9", "kill9", "back8", "back7")


def main() -> int:
    """Run the demo once."""
    options = _options()
    if options.b2 and not os.environ.get("B2_APPLICATION_KEY"):
        sys.stderr.write("demo: B2=1 wants B2_APPLICATION_KEY_ID and B2_APPLICATION_KEY\n")
        return 2
    if not options.services and set(options.sabotage) & set(SERVICE_KINDS):
        sys.stderr.write(f"demo: {' and '.join(SERVICE_KINDS)} are done to services: --services\n")
        return 2
    try:
        options.reports.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        sys.stderr.write(f"demo: no reports can go to {options.reports}: {problem.strerror}\n")
        return 2
    screen = Screen()
    screen.title(
        "zvault demo",
        "A store that a real HashiCorp Vault wrote goes from Stage 7 to 8 to 9 and back, "
        "while five services work with it.",
    )
    try:
        run = start_run(options, screen)
    except MissingProgramError as problem:
        sys.stderr.write(f"demo: {problem}\n")
        return 2
    end_on_signal()
    try:
        run.go()
    except KeyboardInterrupt:
        run.outcome.broken.append("interrupted")
    outcome = run.outcome
    screen.table(TABLE_HEAD, steps_table(outcome))
    if outcome.programs is not None:
        screen.table(PROGRAMS_HEAD, programs_table(outcome.programs))
    try:
        files = write_report(run)
    except LeakingReportError as problem:
        screen.bad(str(problem))
        return 1
    broken = outcome.broken_promises()
    names = ", ".join(path.name for path in files)
    screen.verdict(broken, f"{len(outcome.operations):,} operations. Report: {names}")
    return 1 if broken else 0


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--b2", action="store_true", help="the real Backblaze B2, by environment")
    parser.add_argument(
        "--services", action="store_true", help="the programs of services/ live on it as well"
    )
    parser.add_argument("--entries", type=int, default=0, help="enlarge the store to this many")
    parser.add_argument("--dwell", type=float, default=5.0, help="seconds of load between steps")
    parser.add_argument("--pace", type=float, default=60.0, help="mean ms between operations")
    parser.add_argument("--until", choices=_STEPS, default="", help="stop after this step")
    parser.add_argument(
        "--sabotage", action="append", choices=KINDS, default=[], help="do damage; must fail"
    )
    parser.add_argument("--seed", default="", help="choose operations as an earlier run did")
    parser.add_argument("--work", type=Path, default=ROOT / ".demo", help="work directory")
    parser.add_argument("--reports", type=Path, default=ROOT, help="where the reports go")
    told = parser.parse_args()
    return Options(
        told.work.absolute(),
        told.b2,
        told.entries,
        told.dwell,
        told.pace,
        told.until,
        tuple(told.sabotage),
        told.seed,
        told.reports.absolute(),
        told.services,
    )


if __name__ == "__main__":
    sys.exit(main())
