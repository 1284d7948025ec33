"""When something goes wrong: before the commit all is put back, after it nothing is."""

import dataclasses

import pytest

from tests.faults.migration.world import (
    FILE_URL,
    S3_URL,
    FakeCredentials,
    Killed,
    Killer,
    Site,
    With,
    connect,
    end_state,
    new_site,
    require_nothing_lost,
    store_content,
)
from zvault.ops.migration.errors import (
    ClientsNotMovedError,
    MigrationInterruptedError,
    MigrationRolledBackError,
    NoOpenRunError,
    OpenRunError,
    RecoveryRefusedError,
)
from zvault.ops.migration.ledger import open_run, runs
from zvault.ops.migration.model import Limits, Options
from zvault.ops.migration.ports import Proof
from zvault.storage.api import Delete, Put


async def go(site: Site, to_stage: int, options: Options | None = None) -> None:
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(to_stage, options or Options())
    assert proposal.refusals == ()
    await operator.migrate(proposal, proposal.id)


@pytest.mark.parametrize(("origin", "to_stage"), [(7, 8), (8, 7)])
async def test_a_failed_canary_before_the_commit_puts_everything_back(
    origin: int, to_stage: int
) -> None:
    site = new_site(origin)
    before = end_state(site)
    site.canary_works = 1
    with pytest.raises(MigrationRolledBackError, match=f"stage {origin} serves again"):
        await go(site, to_stage)
    assert site.canary_works == -1
    assert end_state(site) == before
    require_nothing_lost(site)


@pytest.mark.parametrize(("origin", "to_stage"), [(8, 9), (9, 8)])
async def test_a_failed_canary_after_the_commit_leads_forward_only(
    origin: int, to_stage: int
) -> None:
    site = new_site(origin)
    site.canary_works = 1
    with pytest.raises(MigrationInterruptedError, match="after the commit"):
        await go(site, to_stage)
    assert site.state is not None
    assert site.state.stage == to_stage
    site.canary_works = None
    await connect(site, Killer())[1]().resume()
    assert end_state(site)["stage"] == to_stage
    require_nothing_lost(site)


async def test_a_canary_that_fails_on_the_source_touches_nothing() -> None:
    site = new_site(8)
    site.canary_broken = True
    with pytest.raises(MigrationRolledBackError, match="login failed"):
        await go(site, 9)
    assert S3_URL not in site.stores or not store_content(site.stores[S3_URL])
    assert site.server.alive


async def test_after_the_commit_the_way_back_is_a_migration_that_keeps_what_was_written() -> None:
    site = new_site(8)
    site.canary_works = 1
    with pytest.raises(MigrationInterruptedError):
        await go(site, 9)
    written = site.client_writes
    for _ in range(20):
        await site.tick()
    assert site.client_writes > written
    site.canary_works = None
    operator = connect(site, Killer())[1]()
    assert await operator.turn_back() is None
    proposal = await operator.propose(8, Options(take_backup=True))
    assert proposal.supersedes == "r1"
    assert proposal.refusals == ()
    await operator.migrate(proposal, proposal.id)
    assert [run.status for run in runs(operator.journal.records)] == ["superseded", "done"]
    assert end_state(site)["stage"] == 8
    require_nothing_lost(site)


async def test_a_server_that_cannot_be_unsealed_after_the_commit_can_be_turned_back() -> None:
    site = new_site(8)
    operator = connect(site, Killer())[1]()
    operator = dataclasses.replace(operator, limits=Limits(unseal_wait_seconds=1))
    proposal = await operator.propose(9, Options())

    real = operator.ports.state.write

    async def break_the_agent(state: object) -> None:
        site.agent_broken = True
        await real(state)  # type: ignore[arg-type]

    operator.ports.state.write = break_the_agent  # type: ignore[method-assign]
    with pytest.raises(MigrationInterruptedError, match="still sealed"):
        await operator.migrate(proposal, proposal.id)
    site.agent_broken = False
    site.key_file = True
    site.agent.alive = False  # it gave up; the operator turns back with a sealed server
    again = connect(site, Killer())[1]()
    back = await again.propose(8, Options(take_backup=True))
    assert back.refusals == ()
    assert not back.parameters.source_serves
    await again.migrate(back, back.id)
    assert end_state(site)["clients"] == ("http", True)
    assert end_state(site)["stage"] == 8
    require_nothing_lost(site)


async def test_a_store_that_differs_stops_the_run_and_the_old_stage_serves() -> None:
    site = new_site(8)
    operator = connect(site, Killer())[1]()
    stores = operator.ports.stores

    async def forget(source: str, destination: str) -> dict[str, object]:
        await type(stores).sync(stores, source, destination)  # type: ignore[arg-type]
        await site.stores[S3_URL].apply([Delete("logical/original/3")])
        return {}

    object.__setattr__(operator.ports, "stores", With(stores, "sync", forget))
    proposal = await operator.propose(9, Options())
    with pytest.raises(MigrationRolledBackError, match=r"1 missing .*original/3"):
        await operator.migrate(proposal, proposal.id)
    assert end_state(site)["stage"] == 8
    require_nothing_lost(site)


async def test_an_entry_that_does_not_decrypt_stops_the_run() -> None:
    site = new_site(8)
    await site.stores[FILE_URL].apply([Put("logical/bad", b"garbage")])
    site.acknowledged["logical/bad"] = b"garbage"
    with pytest.raises(MigrationRolledBackError, match="logical/bad"):
        await go(site, 9)
    assert end_state(site)["stage"] == 8
    require_nothing_lost(site)


async def test_clients_that_stay_on_the_old_scheme_are_not_cut_off() -> None:
    site = new_site(8)
    operator = connect(site, Killer())[1]()

    async def stubborn(scheme: str) -> int:
        site.seen[scheme] += 1
        return site.seen[scheme]

    door = operator.ports.front_door
    object.__setattr__(operator.ports, "front_door", With(door, "requests_seen", stubborn))
    proposal = await operator.propose(9, Options())
    with pytest.raises(MigrationInterruptedError, match="requests still arrive over http") as error:
        await operator.migrate(proposal, proposal.id)
    assert isinstance(error.value.__cause__, ClientsNotMovedError)
    assert site.plaintext


async def test_a_hold_longer_than_the_limit_is_put_back_before_the_commit() -> None:
    site = new_site(8)
    operator = dataclasses.replace(connect(site, Killer())[1](), limits=Limits(hold_seconds=0.001))
    proposal = await operator.propose(9, Options())
    with pytest.raises(MigrationRolledBackError, match="clients have waited"):
        await operator.migrate(proposal, proposal.id)
    assert end_state(site)["stage"] == 8
    require_nothing_lost(site)


async def test_when_putting_back_fails_too_both_are_said_and_it_can_be_tried_again() -> None:
    site = new_site(8)
    before = end_state(site)
    operator = connect(site, Killer())[1]()
    stores = operator.ports.stores

    async def fail(url: str, shares: object, *, still: bool) -> Proof:
        if still:  # behind the fence
            site.gone = {FILE_URL}
            raise RuntimeError("planted")
        return Proof(1, 1, decrypted=1)

    object.__setattr__(operator.ports, "stores", With(stores, "prove", fail))
    proposal = await operator.propose(9, Options())
    with pytest.raises(
        MigrationInterruptedError, match=r"unexpected RuntimeError; and then: .*refused"
    ):
        await operator.migrate(proposal, proposal.id)
    site.gone = set()
    ended = await connect(site, Killer())[1]().turn_back()
    assert ended is not None
    assert ended.active_stage == 8
    assert end_state(site) == before


async def test_an_open_run_stands_in_the_way_of_another() -> None:
    site = new_site(8)
    await killed_at(site, 30, 9)
    operator = connect(site, Killer())[1]()
    assert open_run(operator.journal.records) is not None
    with pytest.raises(OpenRunError, match="not finished"):
        await operator.propose(9, Options())


async def test_there_is_nothing_to_resume_without_a_run() -> None:
    operator = connect(new_site(8), Killer())[1]()
    with pytest.raises(NoOpenRunError):
        await operator.resume()
    assert await operator.turn_back() is None


# -- the store is gone -----------------------------------------------------------------------


async def migrated_and_gone() -> Site:
    site = new_site(8)
    await go(site, 9)
    for _ in range(20):
        await site.tick()
    site.gone = {S3_URL}
    site.sealed = True
    site.server.alive = False
    site.agent.alive = False
    return site


async def test_a_rollback_without_the_store_is_refused_and_names_the_youngest_copy() -> None:
    site = await migrated_and_gone()
    operator = connect(site, Killer())[1]()
    with pytest.raises(RecoveryRefusedError, match="youngest copy is store file:data") as error:
        await operator.propose(8, Options())
    assert "--accept-loss-since 20" in error.value.hint


async def test_more_is_not_lost_than_was_accepted() -> None:
    site = await migrated_and_gone()
    operator = connect(site, Killer())[1]()
    with pytest.raises(RecoveryRefusedError, match="more would be lost"):
        await operator.propose(8, Options(accept_loss_since_ns=site.clock.now_ns()))


async def test_an_accepted_loss_is_named_and_the_old_stage_comes_back() -> None:
    site = await migrated_and_gone()
    assert site.state is not None
    as_of = site.state.retired[0].at_ns
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(8, Options(accept_loss_since_ns=as_of))
    assert proposal.refusals == ()
    assert any("LOST" in line for line in proposal.losses)
    assert any("zakupai/data/one" in line for line in proposal.losses)
    await operator.migrate(proposal, proposal.id)
    end = end_state(site)
    assert (end["stage"], end["sealed"], end["clients"]) == (8, False, ("http", True))
    assert site.state.store_url == f"{FILE_URL}-r2"


async def test_a_server_without_its_store_does_not_count_as_serving() -> None:
    site = new_site(8)
    await go(site, 9)
    assert site.state is not None
    as_of = site.state.retired[0].at_ns
    site.gone = {S3_URL}
    assert site.serving()
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(8, Options(accept_loss_since_ns=as_of))
    assert not proposal.parameters.source_serves
    assert "rehearse-canary" not in proposal.steps


async def test_a_younger_backup_is_taken_instead_of_the_stale_store() -> None:
    site = new_site(8)
    await go(site, 9)
    operator = connect(site, Killer())[1]()
    await operator.ports.backups.take(S3_URL, ())
    as_of = site.backups[-1].taken_ns
    site.gone, site.sealed, site.server.alive, site.agent.alive = {S3_URL}, True, False, False
    proposal = await operator.propose(8, Options(accept_loss_since_ns=as_of))
    assert proposal.parameters.recovery is not None
    assert proposal.parameters.recovery.kind == "backup"
    await operator.migrate(proposal, proposal.id)
    assert end_state(site)["stage"] == 8
    assert not end_state(site)["audit"]


async def test_a_damaged_backup_is_passed_over_and_that_is_said() -> None:
    site = new_site(8)
    await go(site, 9)
    operator = connect(site, Killer())[1]()
    await operator.ports.backups.take(S3_URL, ())
    site.damaged_backups = {site.backups[-1].name}
    said: list[str] = []
    operator = dataclasses.replace(operator, say=said.append)
    site.gone, site.sealed, site.server.alive, site.agent.alive = {S3_URL}, True, False, False
    proposal = await operator.propose(8, Options(accept_loss_since_ns=0))
    assert proposal.parameters.recovery is not None
    assert proposal.parameters.recovery.kind == "store"
    assert any("was changed" in line for line in said)


async def test_a_store_that_is_there_is_not_given_up() -> None:
    operator = connect(new_site(9), Killer())[1]()
    with pytest.raises(Exception, match="nothing need be lost"):
        await operator.propose(8, Options(accept_loss_since_ns=1))


async def test_nothing_to_recover_from_is_said() -> None:
    site = new_site(9)
    site.gone, site.backups = {S3_URL}, []
    with pytest.raises(RecoveryRefusedError, match="neither"):
        await connect(site, Killer())[1]().propose(8, Options())


# -- rollback of 7 to 8 in another process, without shares -----------------------------------


async def test_a_killed_seven_to_eight_is_turned_back_by_the_agent_when_no_shares_are_given() -> (
    None
):
    site = new_site(7)
    start = end_state(site)
    names = await point_names()
    at = names.index("after server.start") + 1
    await killed_at(site, at, 8)
    operator = connect(site, Killer(), FakeCredentials(given=()))[1]()
    assert await operator.turn_back() is not None
    assert end_state(site) == start


async def killed_at(site: Site, at: int, to_stage: int) -> None:
    operator = connect(site, Killer(at))[1]()
    proposal = await operator.propose(to_stage, Options())
    with pytest.raises(Killed):
        await operator.migrate(proposal, proposal.id)


async def point_names() -> list[str]:
    site, killer = new_site(7), Killer()
    operator = connect(site, killer)[1]()
    proposal = await operator.propose(8, Options())
    await operator.migrate(proposal, proposal.id)
    return killer.names
