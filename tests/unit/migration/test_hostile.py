"""What a hostile operator or a strange moment does: nothing is believed that was not seen."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.migration.world import (
    AUDIT_KEY,
    FILE_URL,
    S3_URL,
    SEALED,
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
from zvault.base.secret import Secret
from zvault.ops.migration.errors import (
    MarkerNotKeptError,
    MigrationInterruptedError,
    MigrationRolledBackError,
    OpenRunError,
    UnprovenStoreError,
)
from zvault.ops.migration.ledger import open_run
from zvault.ops.migration.model import Options, Retired, SiteState, Target
from zvault.ops.migration.ports import BackupFacts, Proof, SealFacts
from zvault.ops.runtime.api import Desired, ServerFacts
from zvault.storage.api import Delete, Operation, Put
from zvault.storage.inmem import InMemStorage
from zvault.storage.keys import MIGRATION_KEY


async def go(site: Site, to_stage: int, options: Options | None = None) -> None:
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(to_stage, options or Options())
    assert proposal.refusals == ()
    await operator.migrate(proposal, proposal.id)


async def test_a_way_back_that_came_to_nothing_leaves_the_first_run_to_be_finished() -> None:
    site = new_site(8)
    site.canary_works = 1
    with pytest.raises(MigrationInterruptedError, match="after the commit"):
        await go(site, 9)
    site.canary_works = None
    operator = connect(site, Killer())[1]()
    back = await operator.propose(8, Options(take_backup=True))
    site.canary_broken = True
    with pytest.raises(MigrationRolledBackError):
        await operator.migrate(back, back.id)
    waiting = open_run(operator.journal.records)
    assert waiting is not None
    assert waiting.id == "r1"
    site.canary_broken = False
    ended = await connect(site, Killer())[1]().resume()
    assert (ended.run, ended.active_stage) == ("r1", 9)
    assert end_state(site)["clients"] == ("https", False)
    assert end_state(site)["audit"]
    require_nothing_lost(site)


async def test_a_server_that_nobody_recorded_is_not_taken_for_a_fenced_one() -> None:
    site = new_site(9)
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(8, Options())
    fence = operator.ports.server.fence

    async def lose_the_record() -> None:
        site.server.desired = Desired.FENCED  # as with server.json lost: nobody was signalled

    observe = operator.ports.server.observe

    async def recorded_dead() -> ServerFacts:
        seen = await observe()
        return dataclasses.replace(seen, alive=seen.desired is not Desired.FENCED and seen.alive)

    operator.ports.server.fence = lose_the_record  # type: ignore[method-assign]
    operator.ports.server.observe = recorded_dead  # type: ignore[method-assign]
    with pytest.raises(MigrationRolledBackError, match="something still answers at"):
        await operator.migrate(proposal, proposal.id)
    operator.ports.server.fence = fence  # type: ignore[method-assign]
    assert end_state(site)["stage"] == 9
    require_nothing_lost(site)


async def test_a_fence_behind_which_somebody_answers_is_none_for_whoever_resumes() -> None:
    site = new_site(9)
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(8, Options())
    fence = operator.ports.server.fence

    async def and_killed() -> None:
        await fence()
        raise Killed

    operator.ports.server.fence = and_killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await operator.migrate(proposal, proposal.id)
    site.clients_on = False  # they wait at the front door
    again = connect(site, Killer())[1]()
    ask = again.ports.vault.seal_status

    async def by_somebody(target: Target) -> SealFacts:
        seen = await ask(target)
        return SealFacts(True, True) if site.server.desired is Desired.FENCED else seen

    again.ports.vault.seal_status = by_somebody  # type: ignore[method-assign]
    with pytest.raises(MigrationRolledBackError, match="stage 9 serves again"):
        await again.resume()
    assert end_state(site)["stage"] == 9
    require_nothing_lost(site)


async def test_a_destination_in_which_the_server_finds_no_vault_is_not_switched_to() -> None:
    site = new_site(9)
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(8, Options())
    ask = operator.ports.vault.seal_status

    async def nothing_there(target: Target) -> SealFacts:
        seen = await ask(target)
        fenced = site.server.alive and site.server.desired is Desired.FENCED
        return dataclasses.replace(seen, initialized=False) if fenced else seen

    operator.ports.vault.seal_status = nothing_there  # type: ignore[method-assign]
    with pytest.raises(MigrationRolledBackError, match="finds no Vault in"):
        await operator.migrate(proposal, proposal.id)
    assert end_state(site)["stage"] == 9
    require_nothing_lost(site)


async def test_a_listed_audit_device_without_a_line_is_not_taken_for_one_that_writes() -> None:
    site = new_site(8)
    site.audit_lines = 5  # of an earlier time
    await site.stores[FILE_URL].apply([Put(AUDIT_KEY, SEALED + b"audit")])
    site.acknowledged[AUDIT_KEY] = SEALED + b"audit"
    site.audit_works = False
    site.clients_on = False
    with pytest.raises(MigrationInterruptedError, match="got no new line"):
        await go(site, 9)


async def test_what_did_not_serve_before_is_not_said_to_serve_again() -> None:
    site = new_site(9)
    site.gone.add(S3_URL)
    site.server.alive = False
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(8, Options(accept_loss_since_ns=0))

    async def fail(url: str, shares: object, *, still: bool) -> Proof:
        raise UnprovenStoreError("planted", hint="planted")

    object.__setattr__(operator.ports, "stores", With(operator.ports.stores, "prove", fail))
    with pytest.raises(MigrationRolledBackError, match="stage 9 is as it was before"):
        await operator.migrate(proposal, proposal.id)


async def test_a_configuration_that_was_there_before_has_its_old_text_again() -> None:
    site = new_site(8)
    old = Path("stage9.hcl")
    site.files[old] = "text of an earlier time"
    site.canary_broken = True
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(9, Options(without_canary=True))

    async def fail(source: str, destination: str) -> dict[str, object]:
        assert site.files[old] != "text of an earlier time"
        raise UnprovenStoreError("planted", hint="planted")

    object.__setattr__(operator.ports, "stores", With(operator.ports.stores, "copy", fail))
    with pytest.raises(MigrationRolledBackError, match="planted"):
        await operator.migrate(proposal, proposal.id)
    assert site.files[old] == "text of an earlier time"


async def test_an_open_run_is_not_put_back_for_a_wish_that_it_does_not_lead_to() -> None:
    site = new_site(8)
    killer = Killer(at=40)
    operator = connect(site, killer)[1]()
    proposal = await operator.propose(9, Options())
    with pytest.raises(Killed):
        await operator.migrate(proposal, proposal.id)
    again = connect(site, Killer())[1]()
    before = len(again.journal.records)
    with pytest.raises(OpenRunError, match="leads back to stage 8, not to 7"):
        await again.turn_back(7)
    assert len(again.journal.records) == before
    assert await again.turn_back(8) is not None
    require_nothing_lost(site)


FOREIGN = {"core/keyring": b"theirs", "core/hsm/barrier-unseal-keys": b"theirs", "logical/x": b"x"}


@pytest.mark.parametrize("way", ["resume", "turn_back"])
async def test_a_vault_that_moved_in_while_the_run_stood_still_is_left_alone(way: str) -> None:
    site = new_site(8)
    killer = Killer()
    operator = connect(site, killer)[1]()
    proposal = await operator.propose(9, Options())
    put = site.stores[S3_URL].apply

    async def die(operations: object) -> None:
        killer.dead = True
        raise Killed

    site.stores[S3_URL].apply = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await operator.migrate(proposal, proposal.id)
    site.stores[S3_URL].apply = put  # type: ignore[method-assign]
    assert store_content(site.stores[S3_URL]) == {}
    site.stores[S3_URL] = InMemStorage(FOREIGN, url=S3_URL)
    again = connect(site, Killer())[1]()
    if way == "resume":
        with pytest.raises(MigrationRolledBackError, match="holds another Vault by now"):
            await again.resume()
    else:
        assert await again.turn_back() is not None
    assert store_content(site.stores[S3_URL]) == FOREIGN
    assert end_state(site)["stage"] == 8
    require_nothing_lost(site)


async def test_a_vault_that_moved_into_a_cleared_place_is_not_cleared_on_resuming() -> None:
    site = new_site(8)
    left = {MIGRATION_KEY: b'{"run":"r0"}', "core/keyring": b"old"}
    site.stores[S3_URL] = InMemStorage(left, url=S3_URL)
    site.state = SiteState(8, FILE_URL, retired=(Retired(S3_URL, "r0", 1),))
    killer = Killer()
    operator = connect(site, killer)[1]()
    proposal = await operator.propose(9, Options(clear_retired=True))
    assert proposal.refusals == ()

    async def die(url: str) -> None:
        killer.dead = True
        raise Killed

    object.__setattr__(operator.ports, "stores", With(operator.ports.stores, "clear", die))
    with pytest.raises(Killed):
        await operator.migrate(proposal, proposal.id)
    site.stores[S3_URL] = InMemStorage(FOREIGN, url=S3_URL)
    with pytest.raises(MigrationRolledBackError, match="is not what our earlier run left"):
        await connect(site, Killer())[1]().resume()
    assert store_content(site.stores[S3_URL]) == FOREIGN


async def test_a_backup_dated_later_than_now_is_not_the_one_that_was_asked_for() -> None:
    site = new_site(8)
    tomorrow = site.clock.now_ns() + 86_400 * 10**9
    site.backups = [BackupFacts("odd", tomorrow, FILE_URL)]
    await go(site, 9, Options(take_backup=True))
    assert len(site.backups) == 2


@pytest.mark.parametrize(("origin", "to_stage"), [(8, 9), (9, 8)])
@pytest.mark.parametrize("damage", ["altered", "added", "dropped"])
async def test_what_is_done_to_the_destination_after_the_proof_is_seen_before_the_start(
    origin: int, to_stage: int, damage: str
) -> None:
    site = new_site(origin)
    before = end_state(site)
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(to_stage, Options())
    destination = proposal.parameters.destination_url
    prove = operator.ports.stores.prove

    async def and_somebody_comes(url: str, shares: Sequence[Secret], *, still: bool) -> Proof:
        proof = await prove(url, shares, still=still)
        if still:
            operations: dict[str, Operation] = {
                "altered": Put("logical/original/3", SEALED + b"forged"),
                "added": Put("sys/policy/evil", SEALED + b"all"),
                "dropped": Delete("logical/original/3"),
            }
            await site.stores[destination].apply([operations[damage]])
        return proof

    stores = With(operator.ports.stores, "prove", and_somebody_comes)
    object.__setattr__(operator.ports, "stores", stores)
    with pytest.raises(MigrationRolledBackError, match="is not what"):
        await operator.migrate(proposal, proposal.id)
    assert end_state(site)["stage"] == before["stage"]
    require_nothing_lost(site)


class Forgetful(InMemStorage):
    """Says yes to every change of core/migration and does none."""

    async def apply(self, operations: Sequence[Operation]) -> None:
        await super().apply([one for one in operations if one.key != MIGRATION_KEY])


async def test_a_source_that_did_not_keep_its_mark_is_not_left_behind_unmarked() -> None:
    site = new_site(9)
    before = end_state(site)
    site.stores[S3_URL] = Forgetful(store_content(site.stores[S3_URL]), url=S3_URL)
    with pytest.raises(MigrationRolledBackError, match="did not keep core/migration"):
        await go(site, 8)
    assert end_state(site)["stage"] == before["stage"]
    require_nothing_lost(site)


async def test_a_mark_that_was_not_removed_is_not_called_removed() -> None:
    marked = {MIGRATION_KEY: b'{"run":"r1"}', "core/keyring": b"ours"}
    site = new_site(8)
    site.stores[S3_URL] = Forgetful(marked, url=S3_URL)
    ports, _ = connect(site, Killer())
    with pytest.raises(MarkerNotKeptError, match="did not remove"):
        await ports.stores.remove_marker(S3_URL, "r1")
