"""One lane: a client that does one operation after the other until it is told to stop.

What lives here: reading the orders, choosing the next operation, pace. What never does: an
operation itself (``service.py``, ``operator.py``).
Invariant: an operation that must not be sent twice never runs while the orders say calm, and a lane
acknowledges orders only between two operations.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from demo.load.control import acknowledgement, read_orders
from demo.load.ledger import Ledger

_WAIT_SECONDS = 0.02


@dataclass(frozen=True)
class Act:
    """Something a lane can do. ``ready`` says whether it makes sense now; ``weight`` how often."""

    do: Callable[[], bool]
    weight: int
    may_be_sent_twice: bool = True
    ready: Callable[[], bool] = lambda: True


class Lane:
    """The loop around a set of acts."""

    def __init__(
        self,
        service: str,
        ledger: Ledger,
        acts: list[Act],
        *,
        orders_file: Path,
        pace_seconds: float,
        chance: random.Random,
        say: Callable[[str], None],
    ) -> None:
        self._service, self._ledger, self._acts = service, ledger, acts
        self._orders_file, self._pace_seconds = orders_file, pace_seconds
        self._chance, self._say = chance, say

    def run(self) -> None:
        """Work until the orders say stop."""
        seen = -1
        while True:
            orders = read_orders(self._orders_file)
            if orders.epoch != seen:
                seen = orders.epoch
                self._say(acknowledgement(self._ledger.lane, seen))
            if orders.stop:
                return
            if self._service in orders.paused:
                time.sleep(_WAIT_SECONDS)
                continue
            self._choose(orders.calm).do()
            time.sleep(self._chance.expovariate(1 / self._pace_seconds))

    def _choose(self, calm: bool) -> Act:
        able = [act for act in self._acts if (act.may_be_sent_twice or not calm) and act.ready()]
        return self._chance.choices(able, [act.weight for act in able])[0]
