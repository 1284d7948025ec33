"""Every direction in a world in memory, without a fault: the way the fault matrix compares with."""

import pytest

from tests.faults.migration.world import (
    FILE_URL,
    S3_URL,
    Killer,
    Site,
    connect,
    end_state,
    new_site,
    require_nothing_lost,
)
from zvault.ops.migration.model import Options

DIRECTIONS = [(7, 8), (8, 9), (9, 8), (8, 7)]


async def migrate(site: Site, to_stage: int, options: Options | None = None) -> None:
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(to_stage, options or Options())
    assert proposal.refusals == ()
    await operator.migrate(proposal, proposal.id)


@pytest.mark.parametrize(("origin", "to_stage"), DIRECTIONS)
async def test_every_direction_arrives_and_loses_nothing(origin: int, to_stage: int) -> None:
    site = new_site(origin)
    await migrate(site, to_stage)
    end = end_state(site)
    assert (end["stage"], end["sealed"]) == (to_stage, False)
    assert end["agent"][0] == (to_stage != 7)
    assert end["audit"] == (to_stage == 9)
    assert end["clients"] == (("https", False) if to_stage == 9 else ("http", True))
    assert site.client_writes > 0
    require_nothing_lost(site)


async def test_there_and_back_again() -> None:
    site = new_site(7)
    take = Options(take_backup=True)
    for to_stage in (8, 9, 8, 7):
        await migrate(site, to_stage, take)
        require_nothing_lost(site)
    end = end_state(site)
    assert end["stage"] == 7
    assert site.state is not None
    assert site.state.store_url.startswith(FILE_URL + "-r")
    assert end["marked"] == [FILE_URL, S3_URL]
