"""Starts the services, gives them orders, and knows when each has taken them in.

What lives here: a 0600 configuration file and a process for each service, and the waiting for their
acknowledgements. What never does: an operation on the Vault.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from demo.load.control import Orders, parse_acknowledgement, write_orders
from demo.load.plan import ServicePlan

_ACK_SECONDS = 100.0
_END_SECONDS = 120.0


class CrewError(Exception):
    """A service ended, broke or did not answer."""


@dataclass(frozen=True)
class CrewPlaces:
    """Where the crew's files are. ``private_dir`` holds what is secret; mode 0700."""

    ledger_dir: Path
    private_dir: Path
    orders_file: Path
    address_file: Path
    ca_file: Path

    @property
    def issued_file(self) -> Path:
        return self.private_dir / "issued-secret-ids"


@dataclass
class _Member:
    plan: ServicePlan
    process: "subprocess.Popen[str]"
    seen: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


class Crew:
    """The running services."""

    def __init__(self, places: CrewPlaces) -> None:
        self._places = places
        self._orders = Orders()
        self._members: list[_Member] = []
        self._change = threading.Condition()

    def start(
        self,
        plans: list[ServicePlan],
        *,
        shared: dict[str, dict[str, Any]],
        values_key: bytes,
        pace_ms: float,
        seed: str,
    ) -> None:
        """Start every service and wait until all lanes work."""
        write_orders(self._places.orders_file, self._orders)
        common = {
            "shared": shared,
            "values_key": values_key.hex(),
            "pace_ms": pace_ms,
            "seed": seed,
            "ledger_dir": str(self._places.ledger_dir),
            "orders_file": str(self._places.orders_file),
            "address_file": str(self._places.address_file),
            "ca_file": str(self._places.ca_file),
            "issued_file": str(self._places.issued_file),
        }
        for plan in plans:
            self._members.append(self._start(plan, common))
        self._await_seen()

    @property
    def pids(self) -> list[int]:
        return [member.process.pid for member in self._members]

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Within the block only operations that may be sent twice are in flight."""
        self._order(calm=True)
        try:
            yield
        finally:
            self._order(calm=False)

    @contextmanager
    def paused(self, *services: str) -> Iterator[None]:
        """Within the block these services have nothing in flight; the others go on."""
        self._order(paused=services)
        try:
            yield
        finally:
            self._order(paused=())

    def stop(self) -> None:
        """Let every lane finish its operation and end. Raises CrewError when one broke."""
        if not self._members:
            return
        self._orders = replace(self._orders, epoch=self._orders.epoch + 1, stop=True)
        write_orders(self._places.orders_file, self._orders)
        for member in self._members:
            try:
                code = member.process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                raise CrewError(f"{member.plan.name} does not end") from None
            if code or member.broken:
                raise CrewError(f"{member.plan.name} ended with {code}: {member.broken}")
        self._members.clear()

    def kill(self) -> None:
        """End whatever still runs, after a failure of the demo."""
        for member in self._members:
            member.process.kill()
            member.process.wait()
        self._members.clear()

    def _order(self, **change: Any) -> None:
        self._orders = replace(self._orders, epoch=self._orders.epoch + 1, **change)
        write_orders(self._places.orders_file, self._orders)
        self._await_seen()

    def _await_seen(self) -> None:
        deadline = time.monotonic() + _ACK_SECONDS
        with self._change:
            while True:
                for member in self._members:
                    if member.broken or member.process.poll() is not None:
                        raise CrewError(f"{member.plan.name} broke: {member.broken}")
                waiting = [
                    lane.name
                    for member in self._members
                    for lane in member.plan.lanes
                    if member.seen.get(lane.name, -1) < self._orders.epoch
                ]
                if not waiting:
                    return
                if time.monotonic() > deadline:
                    raise CrewError(f"no answer from {', '.join(waiting)}")
                self._change.wait(0.5)

    def _start(self, plan: ServicePlan, common: dict[str, Any]) -> _Member:
        config = self._places.private_dir / f"service-{plan.name}.json"
        content = common | {
            "service": plan.name,
            "others_secret": plan.others_secret,
            "roles": plan.roles,
            "lanes": [asdict(lane) for lane in plan.lanes],
        }
        descriptor = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, ensure_ascii=False)
        process = subprocess.Popen(
            [sys.executable, "-m", "demo.load", str(config)],
            cwd=Path(__file__).parent.parent.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
        )
        member = _Member(plan, process)
        threading.Thread(target=self._listen, args=(member,), daemon=True).start()
        return member

    def _listen(self, member: _Member) -> None:
        assert member.process.stdout is not None
        with member.process.stdout as pipe:
            for line in pipe:
                seen = parse_acknowledgement(line)
                with self._change:
                    if seen:
                        member.seen[seen[0]] = seen[1]
                    else:
                        member.broken.append(line.strip())
                    self._change.notify_all()
