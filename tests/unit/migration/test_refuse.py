"""Every refusal, decided before anything is changed."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.migration.world import (
    FILE_URL,
    S3_URL,
    FakeCredentials,
    Killer,
    Site,
    connect,
    new_site,
    store_content,
)
from zvault.base.errors import ZvaultError
from zvault.base.secret import Secret
from zvault.ops.migration.errors import MigrationRefusedError, NotConfirmedError
from zvault.ops.migration.model import Options, Retired, SiteState
from zvault.ops.migration.ports import BackupFacts
from zvault.storage.inmem import InMemStorage
from zvault.storage.keys import MIGRATION_KEY

Change = Callable[[Site], Any]


async def reasons(
    site: Site,
    to_stage: int,
    options: Options | None = None,
    credentials: FakeCredentials | None = None,
) -> list[str]:
    operator = connect(site, Killer(), credentials)[1]()
    proposal = await operator.propose(to_stage, options or Options())
    return [refusal.reason for refusal in proposal.refusals]


def old_backup(site: Site) -> None:
    site.backups = [BackupFacts("old", site.clock.now_ns() - 25 * 3600 * 10**9, FILE_URL)]


def backup_of_tomorrow(site: Site) -> None:
    site.backups = [BackupFacts("odd", site.clock.now_ns() + 10**9, FILE_URL)]


def backup_of_another_vault(site: Site) -> None:
    site.backups = [BackupFacts("odd", site.clock.now_ns(), FILE_URL, "f" * 64)]


def foreign_destination(site: Site) -> None:
    site.stores[S3_URL] = InMemStorage({"core/keyring": b"other"}, url=S3_URL)


def retired_destination(site: Site) -> None:
    site.stores[S3_URL] = InMemStorage({MIGRATION_KEY: b'{"run":"r0"}', "a": b"b"}, url=S3_URL)
    site.state = SiteState(8, FILE_URL, retired=(Retired(S3_URL, "r0", 1),))


def claimed_destination(site: Site) -> None:
    """Retired by us once, and somebody else's by now."""
    retired_destination(site)
    site.stores[S3_URL] = InMemStorage({"core/keyring": b"other"}, url=S3_URL)


def foreign_marker(site: Site) -> None:
    site.stores[FILE_URL]._values[MIGRATION_KEY] = b'{"start":"2026-01-01T00:00:00Z"}'


def set_(name: str, value: object) -> Change:
    return lambda site: setattr(site, name, value)


@pytest.mark.parametrize(
    ("to_stage", "change", "reason"),
    [
        (9, old_backup, "backup-too-old"),
        (9, backup_of_tomorrow, "backup-from-the-future"),
        (9, backup_of_another_vault, "foreign-backup"),
        (9, set_("backups", []), "no-backup"),
        (9, set_("damaged_backups", {"backup-old"}), "backup-damaged"),
        (9, set_("backups", [BackupFacts("x", 10**19, "file:other")]), "no-backup"),
        (9, foreign_destination, "destination-not-empty"),
        (9, claimed_destination, "destination-not-empty"),
        (9, retired_destination, "destination-retired"),
        (9, foreign_marker, "foreign-marker"),
        (9, set_("gone", {S3_URL}), "destination-unreachable"),
        (9, set_("key_file_good", False), "wrong-key-file"),
        (9, set_("key_file", False), "no-key-file"),
        (9, set_("canary_problem", "no role"), "no-canary"),
        (9, set_("machine_trouble", "read-only"), "not-writable"),
        (9, set_("layout_risk", "side by side"), "password-beside-key-file"),
        (9, set_("sealed", True), "sealed"),
        (9, set_("door_running", False), "front-door"),
        (7, set_("sealed", True), "sealed"),
    ],
)
async def test_a_refusal_names_its_reason_and_changes_nothing(
    to_stage: int, change: Change, reason: str
) -> None:
    site = new_site(8)
    site.agent.alive = False  # or it would unseal what the test sealed
    site.clients_on = False
    change(site)
    before = {url: store_content(store) for url, store in site.stores.items()}
    found = await reasons(site, to_stage)
    assert reason in found
    assert {url: store_content(store) for url, store in site.stores.items() if url in before} == (
        before
    )
    assert site.journal == b""


async def test_a_dead_server_is_refused() -> None:
    site = new_site(8)
    site.agent.alive = False
    site.server.alive = False
    assert "server-down" in await reasons(site, 9)


async def test_a_full_disk_is_refused_on_the_way_back() -> None:
    site = new_site(9)
    site.free = 1000
    assert "disk-full" in await reasons(site, 8)


async def test_a_missing_token_is_refused_where_audit_changes() -> None:
    without = FakeCredentials(operator_token=None)
    assert "no-token" in await reasons(new_site(8), 9, credentials=without)
    assert "no-token" in await reasons(new_site(9), 8, credentials=without)
    assert await reasons(new_site(8), 7, credentials=without) == []


async def test_shares_of_another_vault_are_refused_before_anything_is_touched() -> None:
    wrong = FakeCredentials(given=(Secret(b"foreign"),))
    site = new_site(7)
    assert "wrong-shares" in await reasons(site, 8, credentials=wrong)
    assert "wrong-shares" in await reasons(new_site(8), 7, credentials=wrong)
    assert site.journal == b""


async def test_a_token_that_may_not_see_audit_devices_is_refused() -> None:
    wrong = FakeCredentials(operator_token=Secret("wrong"))
    assert "wrong-token" in await reasons(new_site(8), 9, credentials=wrong)
    assert "wrong-token" in await reasons(new_site(9), 8, credentials=wrong)


async def test_missing_shares_are_refused_where_they_are_needed() -> None:
    without = FakeCredentials(given=())
    assert "no-shares" in await reasons(new_site(8), 7, credentials=without)
    assert "no-shares" in await reasons(new_site(7), 8, credentials=without)
    with_key_file = new_site(7)
    with_key_file.key_file = True
    assert await reasons(with_key_file, 8, credentials=FakeCredentials(given=())) == []


async def test_taking_a_backup_lifts_the_refusal_about_backups() -> None:
    site = new_site(8)
    site.backups = []
    assert await reasons(site, 9, Options(take_backup=True)) == []


async def test_clearing_lifts_the_refusal_about_our_own_retired_store() -> None:
    site = new_site(8)
    retired_destination(site)
    assert await reasons(site, 9, Options(clear_retired=True)) == []
    claimed_destination(site)
    assert await reasons(site, 9, Options(clear_retired=True)) == ["destination-not-empty"]


@pytest.mark.parametrize(("origin", "to_stage"), [(7, 9), (9, 7), (7, 7), (8, 8)])
async def test_only_neighbours_are_reached(origin: int, to_stage: int) -> None:
    with pytest.raises(MigrationRefusedError, match="no migration from"):
        await reasons(new_site(origin), to_stage)


async def test_a_site_without_a_stage_is_refused() -> None:
    site = new_site(7)
    site.state = None
    with pytest.raises(MigrationRefusedError, match="no active stage"):
        await reasons(site, 8)


async def test_a_refused_plan_cannot_be_begun() -> None:
    site = new_site(8)
    site.backups = []
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(9, Options())
    with pytest.raises(MigrationRefusedError, match="no verified backup"):
        await operator.migrate(proposal, proposal.id)
    assert site.journal == b""


@pytest.mark.parametrize("confirmed", ["", "0123456789ab"])
async def test_a_plan_begins_only_with_its_own_id(confirmed: str) -> None:
    site = new_site(8)
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(9, Options())
    with pytest.raises(NotConfirmedError):
        await operator.migrate(proposal, confirmed)
    assert site.journal == b""


async def test_equal_plans_have_equal_ids_and_others_have_not() -> None:
    site = new_site(9)
    first = await connect(site, Killer())[1]().propose(8, Options())
    site.clock.advance(60)
    again = await connect(site, Killer())[1]().propose(8, Options())
    other = await connect(site, Killer())[1]().propose(8, Options(take_backup=True))
    assert first.id == again.id
    assert other.id != first.id


async def test_every_refusal_says_what_to_do() -> None:
    site = new_site(8)
    site.backups, site.key_file, site.door_running, site.sealed = [], False, False, True
    site.agent.alive = False
    foreign_destination(site)
    operator = connect(site, Killer(), FakeCredentials((), None))[1]()
    proposal = await operator.propose(9, Options())
    assert len(proposal.refusals) >= 5
    for refusal in proposal.refusals:
        assert refusal.message, refusal
        assert refusal.hint, refusal


async def test_every_error_of_the_room_has_a_code_of_its_own() -> None:
    import zvault.ops.migration.errors as room

    codes = [
        value.code
        for value in vars(room).values()
        if isinstance(value, type)
        and issubclass(value, ZvaultError)
        and value.__module__ == room.__name__
    ]
    assert len(codes) == len(set(codes))
