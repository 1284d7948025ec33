"""The program dies at every point of every direction; then it is resumed, or turned back.

A point lies before and after each effect, and before a journal line, between its write and its
sync, and after its sync. After ``resume`` everything equals the uninterrupted run; after
``rollback`` it is the starting stage again. In both cases the active store holds exactly what
clients were told, and no client was refused.
"""

import contextlib
import copy
from collections.abc import Callable

import pytest

from tests.faults.migration.world import (
    ACTIVE_CONFIG,
    Killed,
    Killer,
    Site,
    connect,
    end_state,
    new_site,
    require_nothing_lost,
)
from zvault.base.errors import ZvaultError
from zvault.ops.migration.errors import MigrationRolledBackError
from zvault.ops.migration.ledger import open_run
from zvault.ops.migration.model import Options

DIRECTIONS = [(7, 8), (8, 9), (9, 8), (8, 7)]
OPTIONS = {
    (7, 8): Options(take_backup=True),
    (8, 9): Options(rotate_audit=True),
    (9, 8): Options(),
    (8, 7): Options(destroy_key_file=True),
}


def prepared(origin: int, to_stage: int) -> Site:
    site = new_site(origin)
    site.certificate = to_stage != 9
    return site


async def begin(site: Site, killer: Killer, to_stage: int, options: Options) -> None:
    operator = connect(site, killer)[1]()
    proposal = await operator.propose(to_stage, options)
    await operator.migrate(proposal, proposal.id)


async def run_until(site: Site, at: int | None, to_stage: int, options: Options) -> Killer:
    killer = Killer(at)
    with contextlib.suppress(Killed):
        await begin(site, killer, to_stage, options)
    return killer


async def time_passes(site: Site) -> None:
    for _ in range(5):
        await site.tick()


async def resume(site: Site, to_stage: int, options: Options) -> None:
    """What an operator does who finds the program dead: resume, or begin if it had not begun."""
    operator = connect(site, Killer())[1]()
    if open_run(operator.journal.records) is not None:
        await operator.resume()
    elif site.state is not None and site.state.stage != to_stage:
        proposal = await operator.propose(to_stage, options)
        await operator.migrate(proposal, proposal.id)


async def turn_back(site: Site, origin: int) -> None:
    """`zvault rollback`: put back, or the reverse migration when it had been committed."""
    operator = connect(site, Killer())[1]()
    if await operator.turn_back() is not None:
        return
    assert site.state is not None
    if site.state.stage == origin:
        return
    proposal = await operator.propose(origin, Options(take_backup=True, clear_retired=origin == 9))
    assert proposal.refusals == ()
    await operator.migrate(proposal, proposal.id)


async def points(origin: int, to_stage: int) -> tuple[int, Site]:
    """How many points the direction has, and the site at the end of the uninterrupted run."""
    site = prepared(origin, to_stage)
    killer = await run_until(site, None, to_stage, OPTIONS[(origin, to_stage)])
    return killer.count, site


Loss = Callable[[Site], None]
KEEP: Loss = lambda _: None  # noqa: E731
DROP: Loss = Site.lose_what_was_not_synced


@pytest.mark.parametrize("after_kill", [KEEP, DROP], ids=["kill", "power-cut"])
@pytest.mark.parametrize(("origin", "to_stage"), DIRECTIONS)
async def test_a_resumed_run_ends_like_an_uninterrupted_one(
    origin: int, to_stage: int, after_kill: Loss
) -> None:
    options = OPTIONS[(origin, to_stage)]
    count, model = await points(origin, to_stage)
    assert count > 40
    for n in range(count):
        site = prepared(origin, to_stage)
        killer = await run_until(site, n, to_stage, options)
        assert killer.dead
        after_kill(site)
        await time_passes(site)
        try:
            await resume(site, to_stage, options)
        except ZvaultError as error:
            raise AssertionError(f"killed at {n} ({killer.names[-1]}): {error.message}") from error
        assert end_state(site) == end_state(model), f"killed at {n} ({killer.names[-1]})"
        require_nothing_lost(site)


@pytest.mark.parametrize("after_kill", [KEEP, DROP], ids=["kill", "power-cut"])
@pytest.mark.parametrize(("origin", "to_stage"), DIRECTIONS)
async def test_a_run_that_is_turned_back_ends_where_it_began(
    origin: int, to_stage: int, after_kill: Loss
) -> None:
    options = OPTIONS[(origin, to_stage)]
    count, _ = await points(origin, to_stage)
    for n in range(count):
        start = prepared(origin, to_stage)
        site = copy.deepcopy(start)
        killer = await run_until(site, n, to_stage, options)
        after_kill(site)
        await time_passes(site)
        where = f"killed at {n} ({killer.names[-1]})"
        committed = site.state is not None and site.state.stage != origin
        try:
            await turn_back(site, origin)
        except ZvaultError as error:
            raise AssertionError(f"{where}: {error.message}") from error
        require_stage_again(start, site, committed=committed, where=where)
        require_nothing_lost(site)


def require_stage_again(start: Site, site: Site, *, committed: bool, where: str) -> None:
    """The starting stage, in every respect that a user sees."""
    before, after = end_state(start), end_state(site)
    for name in ("stage", "sealed", "clients", "audit", "server"):
        assert after[name] == before[name], f"{where}: {name}"
    assert after["agent"][0] == before["agent"][0], where
    if not committed:
        assert after["files"] == before["files"], where
        assert after["marked"] == before["marked"], where
        assert after["key_file"] == before["key_file"], where
        assert site.state == start.state, where
    assert site.files[ACTIVE_CONFIG].startswith(f"stage={before['stage']} "), where


@pytest.mark.parametrize(("origin", "to_stage"), DIRECTIONS)
async def test_a_storage_fault_at_any_operation_ends_in_one_of_the_two_stages(
    origin: int, to_stage: int
) -> None:
    options = OPTIONS[(origin, to_stage)]
    model = prepared(origin, to_stage)
    await run_until(model, None, to_stage, options)
    assert model.storage_operations > 0
    for n in range(1, model.storage_operations + 1):
        site = prepared(origin, to_stage)
        site.fail_storage_at = n
        rolled_back = False
        try:
            await begin(site, Killer(), to_stage, options)
        except MigrationRolledBackError:
            rolled_back = True
        except ZvaultError:
            # Refused before it began: nothing was changed.
            assert open_run(connect(site, Killer())[1]().journal.records) is None
            rolled_back = True
        await time_passes(site)
        expected = prepared(origin, to_stage) if rolled_back else model
        if rolled_back:
            require_stage_again(expected, site, committed=False, where=f"fault at {n}")
        else:
            assert end_state(site) == end_state(expected), f"fault at {n}"
        require_nothing_lost(site)


@pytest.mark.soak
@pytest.mark.parametrize(("origin", "to_stage"), DIRECTIONS)
async def test_a_second_kill_during_resume_changes_nothing(origin: int, to_stage: int) -> None:
    options = OPTIONS[(origin, to_stage)]
    count, model = await points(origin, to_stage)
    for first in range(0, count, 3):
        second = 0
        while True:
            site = prepared(origin, to_stage)
            await run_until(site, first, to_stage, options)
            DROP(site)
            if not await resumed_until(site, second, to_stage, options):
                break
            DROP(site)
            await resume(site, to_stage, options)
            assert end_state(site) == end_state(model), f"killed at {first}, then at {second}"
            require_nothing_lost(site)
            second += 3


async def resumed_until(site: Site, at: int, to_stage: int, options: Options) -> bool:
    """Resume and die again; False when it ended before."""
    killer = Killer(at)
    operator = connect(site, killer)[1]()
    try:
        if open_run(operator.journal.records) is not None:
            await operator.resume()
        elif site.state is not None and site.state.stage != to_stage:
            proposal = await operator.propose(to_stage, options)
            await operator.migrate(proposal, proposal.id)
    except Killed:
        return True
    return False
