"""One service of the load: ``python -m demo.load CONFIG`` (a 0600 JSON file), a thread a lane.

What lives here: the start of the lanes and the pipe to the demo (one line an acknowledgement). The
process ends with 0 when the orders say stop, with 1 when a lane broke.
"""

import json
import random
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from demo.load.client import Client
from demo.load.lane import Lane
from demo.load.ledger import Ledger
from demo.load.operator_acts import OperatorActs
from demo.load.secret_acts import SecretActs
from demo.load.token_acts import TokenActs
from demo.load.values import Values
from demo.load.worker import Session, Worker
from demo.proof.secret import Secret, Version


def build_lane(config: dict[str, Any], lane: dict[str, Any], say: Any) -> tuple[Lane, Worker]:
    """One lane out of the configuration (``demo/load/crew.py`` writes it)."""
    ledger = Ledger(Path(config["ledger_dir"]) / f"{lane['name']}.jsonl", lane["name"])
    chance = random.Random(f"{config['seed']}/{lane['name']}")
    sessions = [Session(lane["token"], lane["accessor"])] if lane["token"] else []
    worker = Worker(
        config["service"],
        Client(Path(config["address_file"]), Path(config["ca_file"])),
        ledger,
        Values(bytes.fromhex(config["values_key"])),
        chance,
        sessions,
    )
    secrets = SecretActs(
        worker,
        {path: load_secret(known) for path, known in lane["secrets"].items()},
        config["shared"],
        config["others_secret"],
    )
    acts = secrets.acts()
    if config["roles"]:
        acts = [act for act in acts if act.do not in (secrets.be_denied, secrets.list_secrets)]
        operator = OperatorActs(
            worker, secrets.secrets, {}, config["roles"], Path(config["issued_file"])
        )
        acts += operator.acts()
    else:
        tokens = TokenActs(worker, config["shared"], lane["role_id"], lane["secret_id"])
        acts += tokens.acts()
        if not sessions and not tokens.login():
            raise RuntimeError(f"{lane['name']}: the first login failed")
    pace = config["pace_ms"] / 1000
    orders = Path(config["orders_file"])
    return (
        Lane(
            config["service"],
            ledger,
            acts,
            orders_file=orders,
            pace_seconds=pace,
            chance=chance,
            say=say,
        ),
        worker,
    )


def load_secret(known: dict[str, Any]) -> Secret:
    """A secret as the configuration carries it."""
    versions = {int(n): Version(**version) for n, version in known["versions"].items()}
    return Secret(**{**known, "versions": versions})


def main() -> int:
    """Run every lane of one service."""
    config = json.loads(Path(sys.argv[1]).read_text())
    pipe = threading.Lock()
    broken: list[str] = []

    def say(line: str) -> None:
        with pipe:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def work(lane: dict[str, Any]) -> None:
        try:
            loop, worker = build_lane(config, lane, say)
            loop.run()
            worker.client.close()
        except Exception as problem:
            broken.append(lane["name"])
            place = traceback.extract_tb(problem.__traceback__)[-1]
            say(f"broken {lane['name']} {type(problem).__name__} at {place.name}:{place.lineno}")

    threads = [threading.Thread(target=work, args=(lane,)) for lane in config["lanes"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
