"""``python -m demo.estate CONFIG`` (a 0600 JSON file): the requests at the services, lane by lane.

What lives here: a thread for each lane until the orders say stop. Its last line is ENDED_WELL only
if no lane broke; a failed request breaks none, it is in the ledger.
"""

import json
import random
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from demo.estate.errands import Errands
from demo.load.lane import Lane
from demo.load.ledger import Ledger
from launcher.smoke.checks import CheckFailedError
from launcher.smoke.person import Person

ENDED_WELL = "every lane ended well"
_KEYS_PACE = 6.0
"""How much slower the lanes with an API key are: its plan has a limit."""


def log_in(config: dict[str, Any]) -> Person:
    """A session of its own for a lane. Raises CheckFailedError."""
    person = Person(
        config["gateway"], config["tg_id"], config["email"], password=config["password"]
    )
    person.key = {"X-API-Key": config["api_key"]}
    person.log_in()
    return person


def run_lane(config: dict[str, Any], name: str, person: Person) -> None:
    """One lane to its end."""
    service, _, credential = name.partition(".")
    ledger = Ledger(Path(config["ledger_dir"]) / f"{name}.jsonl", name)
    with_key = credential == "key"
    errands = Errands(service, person, ledger, config["lot"], time.monotonic(), with_key)
    Lane(
        name,
        ledger,
        errands.acts(),
        orders_file=Path(config["orders_file"]),
        pace_seconds=config["pace_ms"] / 1000 * (_KEYS_PACE if with_key else 1),
        chance=random.Random(),
        say=lambda line: None,
    ).run()


def main() -> int:
    """Every lane of the configuration."""
    config = json.loads(Path(sys.argv[1]).read_text())
    broken: list[str] = []
    try:  # one after the other: a password costs the gateway a third of a second of a core
        persons = {name: log_in(config) for name in config["lanes"]}
    except CheckFailedError as refusal:
        print(refusal, flush=True)
        return 1

    def work(name: str) -> None:
        try:
            run_lane(config, name, persons[name])
        except Exception as problem:
            place = traceback.extract_tb(problem.__traceback__)[-1]
            broken.append(f"{name}: {type(problem).__name__} at {place.name}:{place.lineno}")

    threads = [threading.Thread(target=work, args=(name,)) for name in config["lanes"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("; ".join(broken) or ENDED_WELL, flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
