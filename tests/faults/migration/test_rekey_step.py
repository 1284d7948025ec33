"""7 to 8 with a rekey: the program dies at every point; then it is resumed, or turned back.

Whatever dies when: the old shares are in force and in the operator's hands, or the new ones are and
lie in the file; after ``resume`` the new ones are in force and in the key file.
"""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.migration.test_matrix import (
    DROP,
    KEEP,
    Loss,
    prepared,
    resume,
    run_until,
    time_passes,
)
from tests.faults.migration.world import (
    NEW_SHARES,
    SHARES,
    FakeCredentials,
    Killer,
    Site,
    connect,
    end_state,
    require_nothing_lost,
)
from zvault.base.errors import ZvaultError
from zvault.ops.migration.errors import MigrationInterruptedError, MigrationRefusedError
from zvault.ops.migration.model import Options

FILE = Path("/safe/new-shares.json")
WITH_REKEY = Options(take_backup=True, rekey_file=str(FILE))
LOSSES = pytest.mark.parametrize("after_kill", [KEEP, DROP], ids=["kill", "power-cut"])


async def points() -> tuple[int, Site]:
    site = prepared(7, 8)
    killer = await run_until(site, None, 8, WITH_REKEY)
    return killer.count, site


def require_an_open_way(site: Site, where: str) -> None:
    """The shares in force are the operator's or lie in the file of the rekey."""
    assert site.shares == SHARES or site.kept[FILE] == site.shares, where


async def test_the_new_shares_are_in_force_in_the_file_and_in_the_key_file() -> None:
    count, site = await points()
    assert count > 60
    assert site.shares == site.key_file_shares == site.kept[FILE] == NEW_SHARES
    assert list(site.kept) == [FILE]
    assert site.serving()
    assert not site.rekey_begun


@LOSSES
async def test_a_resumed_run_ends_like_an_uninterrupted_one(after_kill: Loss) -> None:
    count, model = await points()
    for n in range(count):
        site = prepared(7, 8)
        killer = await run_until(site, n, 8, WITH_REKEY)
        assert killer.dead
        where = f"killed at {n} ({killer.names[-1]})"
        after_kill(site)
        require_an_open_way(site, where)
        await time_passes(site)
        try:
            await resume(site, 8, WITH_REKEY)
        except ZvaultError as error:
            raise AssertionError(f"{where}: {error.message}") from error
        assert end_state(site) == end_state(model), where
        assert site.shares == site.key_file_shares == site.kept[FILE] == NEW_SHARES, where
        assert not site.rekey_begun, where
        require_nothing_lost(site)


@LOSSES
async def test_a_run_that_is_turned_back_leaves_shares_that_somebody_holds(
    after_kill: Loss,
) -> None:
    count, _ = await points()
    for n in range(count):
        site = prepared(7, 8)
        killer = await run_until(site, n, 8, WITH_REKEY)
        where = f"killed at {n} ({killer.names[-1]})"
        after_kill(site)
        await time_passes(site)
        held = FakeCredentials(given=site.shares)
        operator = connect(site, Killer(), held)[1]()
        if await operator.turn_back() is None and site.state and site.state.stage == 8:
            key_file_behind = site.key_file_shares != site.shares
            if key_file_behind:
                # Only forward: stage 8 has shares that its agent does not know.
                await connect(site, Killer(), held)[1]().resume()
            again = connect(site, Killer(), FakeCredentials(given=site.shares))[1]()
            proposal = await again.propose(7, Options(take_backup=True))
            assert proposal.refusals == (), where
            await again.migrate(proposal, proposal.id)
        assert site.state is not None
        assert site.state.stage == 7, where
        assert site.serving(), where
        require_an_open_way(site, where)
        require_nothing_lost(site)


async def test_shares_that_never_counted_are_set_aside_and_named_otherwise() -> None:
    _, model = await points()
    site = prepared(7, 8)
    names = (await run_until(prepared(7, 8), None, 8, WITH_REKEY)).names
    at = names.index("before new_shares.verify")
    await run_until(site, at, 8, WITH_REKEY)
    assert site.kept[FILE] == NEW_SHARES
    assert site.shares == SHARES
    await resume(site, 8, WITH_REKEY)
    assert len(site.kept) == 2
    assert end_state(site) == end_state(model)


async def test_a_file_that_is_there_stops_the_run_before_it_begins() -> None:
    site = prepared(7, 8)
    site.kept[FILE] = NEW_SHARES
    proposal = await connect(site, Killer())[1]().propose(8, WITH_REKEY)
    assert [refusal.reason for refusal in proposal.refusals] == ["rekey-file-exists"]


async def test_without_a_rekey_the_plan_says_what_that_means() -> None:
    site = prepared(7, 8)
    operator = connect(site, Killer())[1]()
    (remark,) = (await operator.propose(8, Options(take_backup=True))).remarks
    assert "whoever has seen enough of them opens this Vault" in remark
    assert (await operator.propose(8, WITH_REKEY)).remarks == ()


async def test_a_rekey_is_no_step_of_any_other_direction() -> None:
    for origin, to_stage in ((8, 9), (9, 8), (8, 7)):
        operator = connect(prepared(origin, to_stage), Killer())[1]()
        with pytest.raises(MigrationRefusedError, match="a rekey is a step of 7 to 8 only"):
            await operator.propose(to_stage, replace(WITH_REKEY, take_backup=True))


async def test_a_rekey_that_fails_leaves_stage_8_serving_with_the_old_shares() -> None:
    site = prepared(7, 8)
    site.rekey_begun = True  # somebody else's
    with contextlib.suppress(MigrationInterruptedError):
        await run_until(site, None, 8, WITH_REKEY)
    assert site.state is not None
    assert site.state.stage == 8
    assert site.serving()
    assert site.shares == site.key_file_shares == SHARES
    assert site.rekey_begun, "it is not ours to end"
