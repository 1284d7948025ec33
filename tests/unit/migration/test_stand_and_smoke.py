"""A stage stood up is read back; a smoke check fails when its property does not hold."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.migration.world import (
    ACTIVE_CONFIG,
    FILE_URL,
    S3_URL,
    SHARES,
    Killed,
    Killer,
    Site,
    connect,
    new_site,
    store_content,
)
from zvault.ops.migration.errors import MigrationRefusedError, OpenRunError, StillSealedError
from zvault.ops.migration.ledger import open_run
from zvault.ops.migration.model import Limits, Options
from zvault.ops.migration.ports import BackupFacts
from zvault.ops.migration.smoke import Check, Smoke
from zvault.ops.migration.stand import (
    ConfigurationChangedError,
    DoorHoldsError,
    Renewed,
    Stand,
)
from zvault.ops.migration.status import describe_status, observe_status
from zvault.ops.runtime.api import Desired


def stand(site: Site) -> Stand:
    operator = connect(site, Killer())[1]()
    records = operator.journal.records
    return Stand(operator.ports, operator.geography, Limits(unseal_wait_seconds=2), records)


def asleep(stage_number: int) -> Site:
    site = new_site(stage_number)
    site.server.alive, site.sealed, site.agent.alive = False, True, False
    site.server.desired = Desired.STOPPED
    return site


async def test_stage_7_stands_sealed_and_says_so() -> None:
    site = asleep(7)
    stood = await stand(site).up(7)
    assert stood.seal.reachable
    assert stood.seal.sealed
    assert not site.agent.alive


@pytest.mark.parametrize("number", [8, 9])
async def test_later_stages_stand_unsealed(number: int) -> None:
    site = asleep(number)
    stood = await stand(site).up(number)
    assert not stood.seal.sealed
    assert site.agent.alive


async def test_a_site_that_never_stood_begins_in_stage_7() -> None:
    site = asleep(7)
    site.state, site.files = None, {}
    stood = await stand(site).up(7)
    assert (stood.stage, stood.store_url) == (7, FILE_URL)
    assert site.files[ACTIVE_CONFIG].startswith("stage=7")
    site.state = None
    with pytest.raises(MigrationRefusedError, match="no active stage"):
        await stand(site).up(8)


async def test_another_stage_is_not_stood_up_but_named() -> None:
    with pytest.raises(MigrationRefusedError, match="stage 8 is active") as error:
        await stand(asleep(8)).up(9)
    assert error.value.hint == "zvault migrate --to 9"
    with pytest.raises(MigrationRefusedError) as error:
        await stand(asleep(8)).up(7)
    assert error.value.hint == "zvault rollback --to 7"


async def test_a_stage_that_stays_sealed_does_not_stand() -> None:
    site = asleep(8)
    site.agent_broken = True
    with pytest.raises(StillSealedError):
        await stand(site).up(8)


async def test_a_running_server_is_not_given_another_configuration_behind_its_back() -> None:
    site = new_site(8)
    side = connect(site, Killer())[1]().geography.side(8, FILE_URL)
    site.files[side.config_path] = "something else"
    with pytest.raises(ConfigurationChangedError):
        await stand(site).up(8)
    assert site.files[side.config_path] == "something else"


async def test_down_stops_on_purpose_and_keeps_the_front_door() -> None:
    site = new_site(8)
    await stand(site).down()
    for _ in range(5):
        await site.tick()
    assert not site.server.alive
    assert site.server.desired is Desired.STOPPED
    assert not site.agent.alive
    assert site.door_running


async def test_a_site_with_an_open_run_is_left_alone() -> None:
    site = new_site(8)
    operator = connect(site, Killer(at=30))[1]()
    proposal = await operator.propose(9, Options())
    with pytest.raises(Killed):
        await operator.migrate(proposal, proposal.id)
    with pytest.raises(OpenRunError):
        await stand(site).up(8)
    with pytest.raises(OpenRunError):
        await stand(site).down()


async def test_a_backup_is_of_the_active_store() -> None:
    site = new_site(9)
    taken = await stand(site).back_up()
    assert site.state is not None
    assert taken.store_url == site.state.store_url


async def test_a_renewed_certificate_is_looked_at_wherever_it_is_shown() -> None:
    assert await stand(new_site(9)).renew_certificate() == Renewed(True, True)
    assert await stand(new_site(8)).renew_certificate() == Renewed(False, True)
    closed = asleep(9)
    closed.door_running = False
    assert await stand(closed).renew_certificate() == Renewed(False, False)


async def test_a_front_door_that_holds_requests_does_not_drop_them_for_a_certificate() -> None:
    site = asleep(9)
    site.door_certificate_shown = False
    with pytest.raises(DoorHoldsError, match="still shows the old one"):
        await stand(site).renew_certificate()
    assert not site.door_certificate_shown


# -- smoke -----------------------------------------------------------------------------------


async def smoke(site: Site, number: int) -> list[Check]:
    operator = connect(site, Killer())[1]()
    return await Smoke(operator.ports, operator.geography, Limits()).run(
        number, nonce="n1", canary=True
    )


@pytest.mark.parametrize("number", [7, 8, 9])
async def test_a_healthy_stage_passes_every_check(number: int) -> None:
    site = new_site(number)
    checks = await smoke(site, number)
    assert [check for check in checks if not check.ok] == []
    assert len(checks) == {7: 4, 8: 7, 9: 9}[number]


def set_backup(site: Site, url: str, fingerprint: str) -> None:
    site.backups = [BackupFacts("one", site.clock.now_ns(), url, fingerprint)]


def set_(name: str, value: object) -> Callable[[Site], Any]:
    return lambda site: setattr(site, name, value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("unsealed", set_("sealed", True)),
        ("clients", set_("client_scheme", "http")),
        ("canary", set_("canary_broken", True)),
        ("agent", lambda site: setattr(site.agent, "alive", False)),
        ("agent", lambda site: setattr(site.agent, "address", "http://elsewhere")),
        ("key-file", set_("key_file", False)),
        ("key-file", set_("key_file_good", False)),
        ("backup", set_("backups", [])),
        ("backup", set_("damaged_backups", {"backup-old"})),
        ("backup", set_("backups", [BackupFacts("old", 1, S3_URL)])),
        ("backup", set_("backups", [BackupFacts("odd", 4 * 10**18, S3_URL)])),
        ("backup", lambda site: set_backup(site, FILE_URL, "")),
        ("backup", lambda site: set_backup(site, S3_URL, "f" * 64)),
        ("plaintext-refused", set_("door_running", False)),
        ("clients", set_("door_running", False)),
        ("certificate", set_("certificate", False)),
        ("certificate", set_("certificate_shown", False)),
        ("certificate", set_("door_certificate_shown", False)),
        ("plaintext-refused", set_("plaintext", True)),
        ("configuration", lambda site: site.files.clear()),
        ("configuration", lambda site: setattr(site.server, "config_path", ACTIVE_CONFIG)),
    ],
)
async def test_a_property_that_does_not_hold_fails_its_check(
    name: str, change: Callable[[Site], Any]
) -> None:
    site = new_site(9)
    site.clients_on = False
    if name == "unsealed":
        site.agent_broken = True
    change(site)
    failed = [check.name for check in await smoke(site, 9) if not check.ok]
    assert name in failed


async def test_a_backup_of_this_vault_counts_wherever_its_store_lay() -> None:
    site = new_site(9)
    stored = store_content(site.stores[S3_URL])["core/hsm/barrier-unseal-keys"]
    set_backup(site, FILE_URL, hashlib.sha256(stored).hexdigest())
    site.backups.append(BackupFacts("foreign", site.clock.now_ns() + 1, S3_URL, "f" * 64))
    assert [check.name for check in await smoke(site, 9) if not check.ok] == []


async def test_an_audit_file_that_does_not_grow_fails_the_canary() -> None:
    site = new_site(9)
    site.clients_on = False
    site.audit_works = False
    checks = {check.name: check.problem for check in await smoke(site, 9)}
    assert "no line in the audit file" in checks["canary"]


async def test_the_wrong_stage_is_one_failed_check() -> None:
    checks = await smoke(new_site(8), 9)
    assert [check.problem for check in checks] == ["stage 8 is active, not stage 9"]


# -- status ----------------------------------------------------------------------------------


async def test_status_says_what_is_and_needs_no_stage() -> None:
    for site in (new_site(7), new_site(8), new_site(9)):
        operator = connect(site, Killer())[1]()
        seen = await observe_status(operator.ports, operator.geography, None)
        assert site.state is not None
        assert seen.to_json()["stage"] == site.state.stage
        assert seen.to_json()["server"]["sealed"] is False
        assert any("unsealed" in line for line in describe_status(seen))
    empty = new_site(7)
    empty.state = None
    operator = connect(empty, Killer())[1]()
    seen = await observe_status(operator.ports, operator.geography, None)
    assert describe_status(seen) == ["no stage is active here: zvault stage up --stage 7"]


async def test_status_names_the_open_run_and_what_is_left() -> None:
    site = new_site(8)
    operator = connect(site, Killer(at=40))[1]()
    proposal = await operator.propose(9, Options())
    with pytest.raises(Killed):
        await operator.migrate(proposal, proposal.id)
    operator = connect(site, Killer())[1]()
    run = open_run(operator.journal.records)
    seen = await observe_status(operator.ports, operator.geography, run)
    told = seen.to_json()["open_run"]
    assert told["run"] == "r1"
    assert not told["committed"]
    assert "commit" in told["left"]
    assert any("zvault resume" in line for line in describe_status(seen))


def test_the_stand_ins_shares_are_secrets() -> None:
    assert all("redacted" in repr(share) for share in SHARES)
