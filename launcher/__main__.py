"""``python -m launcher up|down|status|smoke``: all services on loopback, real servers behind them.

Exit code 0 only if every service says that it is ready (up, status), that nothing runs any more
(down), or that every check that can be made here holds (smoke); 1 otherwise.
"""

import argparse
import sys
from pathlib import Path

from launcher.estate import Estate
from launcher.place import DEFAULT, is_begun, place_at
from launcher.programs import LauncherError
from launcher.roster import SERVICES
from launcher.smoke.whole import smoke


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m launcher", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status", "smoke"))
    parser.add_argument("--work", type=Path, default=DEFAULT, help="the folder of everything")
    parser.add_argument("--json", action="store_true", help="smoke: its checks as JSON")
    told = parser.parse_args()
    work = told.work.absolute()
    if told.command != "up" and not is_begun(work):
        sys.stderr.write("services: nothing was started here: `make services` first\n")
        return 0 if told.command == "down" else 1
    estate = Estate(place_at(work, [one.name for one in SERVICES]), SERVICES, _say)
    try:
        if told.command == "up":
            estate.up()
        elif told.command == "down":
            estate.down()
            return 0
        elif told.command == "smoke":
            return smoke(estate, json_wanted=told.json)
        states = estate.status()
    except LauncherError as error:
        sys.stderr.write(f"services: {error}\n")
        return 1
    for name, (url, state) in states.items():
        sys.stdout.write(f"{name:12} {url}  {state}\n")
    return 0 if all(state == "ready" for _, state in states.values()) else 1


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
