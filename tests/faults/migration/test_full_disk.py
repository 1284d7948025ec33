"""The operator's own disk is full from the n-th write on: journal, state, configuration, key file.

Nothing is lost and no client is refused; the command says that it was put back, or that it is
open; and once there is room again, resume or rollback leads to a whole stage.
"""

import errno
from dataclasses import dataclass

import pytest

from tests.faults.migration.test_matrix import DIRECTIONS, OPTIONS, prepared
from tests.faults.migration.world import (
    Killer,
    Site,
    connect,
    end_state,
    require_nothing_lost,
)
from zvault.ops.migration.errors import MigrationInterruptedError, MigrationRolledBackError
from zvault.ops.migration.ledger import open_run

WRITES = (
    "before journal line",
    "before files.write",
    "before state.write",
    "before key_files.create",
    "before backups.take",
    "before door.send_clients",
    "before server.start",  # the record beside it
    "before agent.start",
)


@dataclass
class FullDisk(Killer):
    """From the ``full_at``-th write on there is no room; never, without a number."""

    full_at: int | None = None
    writes: int = 0

    def point(self, name: str) -> None:
        super().point(name)
        if not name.startswith(WRITES):
            return
        self.writes += 1
        if self.full_at is not None and self.writes > self.full_at:
            raise OSError(errno.ENOSPC, "No space left on device", "run/file")


async def go(site: Site, disk: FullDisk, origin: int, to_stage: int) -> None:
    operator = connect(site, disk)[1]()
    proposal = await operator.propose(to_stage, OPTIONS[origin, to_stage])
    assert proposal.refusals == ()
    await operator.migrate(proposal, proposal.id)


async def writes_of(origin: int, to_stage: int) -> int:
    disk = FullDisk()
    await go(prepared(origin, to_stage), disk, origin, to_stage)
    return disk.writes


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize(("origin", "to_stage"), DIRECTIONS)
async def test_a_disk_that_fills_up_anywhere_costs_nobody_anything(
    origin: int, to_stage: int, back: bool
) -> None:
    for full_at in range(await writes_of(origin, to_stage)):
        site = prepared(origin, to_stage)
        before = end_state(site)
        with pytest.raises((OSError, MigrationRolledBackError, MigrationInterruptedError)) as said:
            await go(site, FullDisk(full_at=full_at), origin, to_stage)
        assert "No space left" in str(said.value), full_at
        await room_again(site, said.type, origin, to_stage, before, back=back)
        require_nothing_lost(site)


async def room_again(
    site: Site,
    ended: type[BaseException],
    origin: int,
    to_stage: int,
    before: dict[str, object],
    *,
    back: bool,
) -> None:
    """Whatever is open is finished or put back; what was put back is as it was."""
    for _ in range(5):
        await site.tick()
    operator = connect(site, Killer())[1]()
    waiting = open_run(operator.journal.records)
    if ended is not MigrationInterruptedError:
        assert waiting is None
        assert_is(site, before)
        return
    assert waiting is not None
    put_back = await operator.turn_back() if back else None
    if put_back is not None:
        assert_is(site, before)
        return
    try:
        await operator.resume()
    except MigrationRolledBackError:
        assert_is(site, before)
    found = end_state(site)
    assert found["stage"] in (origin, to_stage)
    assert found["sealed"] is False
    assert open_run(connect(site, Killer())[1]().journal.records) is None


def assert_is(site: Site, before: dict[str, object]) -> None:
    found = end_state(site)
    for name in ("stage", "state", "active", "server", "sealed", "agent", "clients", "marked"):
        assert found[name] == before[name], name
