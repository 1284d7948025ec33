"""``python -m launcher up|down|status``: all services on loopback, with real servers behind them.

Exit code 0 only if every service says that it is ready (up, status), or that nothing runs any more
(down); 1 otherwise.
"""

import argparse
import sys
from pathlib import Path

from launcher.estate import Estate
from launcher.place import DEFAULT, place_at
from launcher.programs import LauncherError
from launcher.roster import SERVICES


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m launcher", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status"))
    parser.add_argument("--work", type=Path, default=DEFAULT, help="the folder of everything")
    told = parser.parse_args()
    estate = Estate(place_at(told.work.absolute(), [one.name for one in SERVICES]), SERVICES, _say)
    try:
        if told.command == "up":
            estate.up()
        elif told.command == "down":
            estate.down()
            return 0
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
