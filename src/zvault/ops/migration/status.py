"""What is, for people and programs: stage, server, seal, agent, clients, backup, open run.

What lives here: one look and its JSON (documented in docs/migration.md). What never does: an
effect, the journal's lock.
"""

from dataclasses import dataclass
from typing import Any

from zvault.base import gotime
from zvault.ops.migration.ledger import Run
from zvault.ops.migration.model import Retired
from zvault.ops.migration.operate import Geography
from zvault.ops.migration.ports import AgentFacts, BackupFacts, DoorFacts, Ports, SealFacts
from zvault.ops.runtime.api import ServerFacts


@dataclass(frozen=True, slots=True)
class Status:
    """One look. ``stage`` None: nothing was ever stood up here."""

    stage: int | None
    store_url: str | None
    address: str | None
    retired: tuple[Retired, ...]
    server: ServerFacts
    seal: SealFacts
    agent: AgentFacts
    door: DoorFacts
    backup: BackupFacts | None
    waiting: Run | None
    committed: bool
    now_ns: int

    @property
    def backup_age_seconds(self) -> float | None:
        """Of the youngest verified backup."""
        if self.backup is None:
            return None
        return round((self.now_ns - self.backup.taken_ns) / gotime.SECOND_NS, 1)

    def to_json(self) -> dict[str, Any]:
        """The documented shape."""
        run = self.waiting
        return {
            "stage": self.stage,
            "store": self.store_url,
            "retired": [
                {"store": old.url, "run": old.run, "at": gotime.format_time(old.at_ns)}
                for old in self.retired
            ],
            "server": {
                "address": self.address,
                "alive": self.server.alive,
                "desired": self.server.desired.value,
                "pid": self.server.pid,
                "reachable": self.seal.reachable,
                "initialized": self.seal.initialized if self.seal.reachable else None,
                "sealed": self.seal.sealed if self.seal.reachable else None,
            },
            "agent": {
                "alive": self.agent.alive,
                "desired": self.agent.desired.value,
                "address": self.agent.address,
            },
            "clients": {
                "front_door": self.door.running,
                "plaintext": self.door.plaintext_allowed,
                "url": self.door.client_url,
            },
            "backup": None
            if self.backup is None
            else {
                "name": self.backup.name,
                "taken": gotime.format_time(self.backup.taken_ns),
                "age_seconds": self.backup_age_seconds,
                "store": self.backup.store_url,
            },
            "open_run": None
            if run is None
            else {
                "run": run.id,
                "from": run.parameters.from_stage,
                "to": run.parameters.to_stage,
                "entered": list(run.entered),
                "left": [name for name in run.plan if name not in run.outcomes],
                "committed": self.committed,
                "turning_back": run.aborting,
            },
        }


async def observe_status(ports: Ports, geography: Geography, waiting: Run | None) -> Status:
    """Look at everything once."""
    state = await ports.state.read()
    side = None if state is None else geography.side(state.stage, state.store_url)
    return Status(
        stage=None if state is None else state.stage,
        store_url=None if state is None else state.store_url,
        address=None if side is None else side.target.address,
        retired=() if state is None else state.retired,
        server=await ports.server.observe(),
        seal=SealFacts(False, reason="no stage is active")
        if side is None
        else await ports.vault.seal_status(side.target),
        agent=await ports.agent.observe(),
        door=await ports.front_door.observe(),
        backup=await ports.backups.latest_verified(),
        waiting=waiting,
        committed=waiting is not None and state is not None and state.run == waiting.id,
        now_ns=ports.machine.now_ns(),
    )


def describe_status(status: Status) -> list[str]:
    """The same in sentences."""
    if status.stage is None:
        return ["no stage is active here: zvault stage up --stage 7"]
    seal = status.seal
    said = ("sealed" if seal.sealed else "unsealed") if seal.initialized else "not initialised"
    server = said if seal.reachable else f"no answer ({seal.reason})"
    age = status.backup_age_seconds
    lines = [
        f"stage      {status.stage} on {status.store_url}",
        f"server     {status.address}: {server}, wanted {status.server.desired.value}",
        f"agent      {'watching ' + str(status.agent.address) if status.agent.alive else 'off'}",
        f"clients    {status.door.client_url or 'not told'}, {_door(status.door)}",
        f"backup     {_backup_age(age)}",
    ]
    run = status.waiting
    if run is not None:
        way = "turning back" if run.aborting else "after the commit" if status.committed else "open"
        lines.append(
            f"run        {run.id}, {run.parameters.from_stage} to {run.parameters.to_stage}: {way};"
            " zvault resume or zvault rollback"
        )
    return lines


def _door(door: DoorFacts) -> str:
    if not door.running:
        return "front door NOT running"
    return f"plaintext {'open' if door.plaintext_allowed else 'refused'}"


def _backup_age(seconds: float | None) -> str:
    if seconds is None:
        return "none verified"
    return f"{seconds / 3600:.1f} h old" if seconds >= 0 else "of a time still to come"
