"""A front door that died is neither quiet nor closed: its silence proves nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.migration.world import (
    Killer,
    Site,
    connect,
    end_state,
    new_site,
    require_nothing_lost,
)
from zvault.base.errors import UnreachableError
from zvault.ops.migration.errors import MigrationInterruptedError
from zvault.ops.migration.model import Options, Target
from zvault.ops.migration.operate import Operator
from zvault.ops.migration.ports import Ports


def dies_when(site: Site, ports: Ports, happens: str) -> None:
    """The door dies right after that effect of the program."""
    door = ports.front_door
    effect: Callable[..., object] = getattr(door, happens)

    async def and_dies(argument: object) -> None:
        await effect(argument)  # type: ignore[misc]
        site.door_running = False

    setattr(door, happens, and_dies)


async def begun(site: Site, happens: str) -> Operator:
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(9, Options())
    dies_when(site, operator.ports, happens)
    with pytest.raises(MigrationInterruptedError, match="after the commit"):
        await operator.migrate(proposal, proposal.id)
    return operator


@pytest.mark.parametrize(
    ("happens", "left"),
    [("send_clients", "quiet"), ("allow_plaintext", "refuse-plaintext")],
)
async def test_what_a_dead_door_does_not_show_is_not_taken_for_shown(
    happens: str, left: str
) -> None:
    site = new_site(8)
    operator = await begun(site, happens)
    steps = {record.step for record in operator.journal.records if record.kind == "outcome"}
    assert left not in steps
    again = connect(site, Killer())[1]()
    with pytest.raises(MigrationInterruptedError):
        await again.resume()
    site.door_running = True
    await connect(site, Killer())[1]().resume()
    assert end_state(site)["clients"] == ("https", False)
    require_nothing_lost(site)


@pytest.mark.parametrize(("origin", "to_stage"), [(7, 8), (8, 7)])
async def test_a_stage_that_no_client_reaches_is_not_reported_as_reached(
    origin: int, to_stage: int
) -> None:
    site = new_site(origin)
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(to_stage, Options())
    start = operator.ports.server.start

    async def and_the_door_dies(config_path: Path, target: Target, *, fenced: bool = False) -> None:
        await start(config_path, target, fenced=fenced)
        site.door_running = False

    operator.ports.server.start = and_the_door_dies  # type: ignore[method-assign]
    with pytest.raises(MigrationInterruptedError, match="the front door is not running"):
        await operator.migrate(proposal, proposal.id)
    site.door_running = True
    ended = await connect(site, Killer())[1]().resume()
    assert ended.active_stage == to_stage
    require_nothing_lost(site)


def turns_away(site: Site, ports: Ports, *, when: Callable[[], bool]) -> None:
    """The door runs, and what clients ask it gets no answer."""
    answers = ports.front_door.answers

    async def or_not(scheme: str) -> bool:
        return not when() and await answers(scheme)

    ports.front_door.answers = or_not  # type: ignore[method-assign]


async def test_a_door_that_runs_and_answers_nobody_is_no_stage_reached() -> None:
    site = new_site(7)
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(8, Options())
    turns_away(site, operator.ports, when=lambda: site.state is not None and site.state.stage == 8)
    with pytest.raises(MigrationInterruptedError, match="does not answer over http"):
        await operator.migrate(proposal, proposal.id)
    ended = await connect(site, Killer())[1]().resume()
    assert ended.active_stage == 8
    require_nothing_lost(site)


async def test_a_stage_that_was_put_back_and_is_not_reached_is_not_said_to_serve_again() -> None:
    site = new_site(7)
    site.canary_works = 1
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(8, Options())
    turns_away(site, operator.ports, when=lambda: site.canary_works == -1)
    with pytest.raises(MigrationInterruptedError, match="putting run r1 back stopped"):
        await operator.migrate(proposal, proposal.id)
    site.canary_works = None
    await connect(site, Killer())[1]().resume()
    assert end_state(site)["stage"] == 7
    require_nothing_lost(site)


async def test_a_dead_door_has_no_count_of_requests() -> None:
    site = new_site(8)
    ports, _ = connect(site, Killer())
    site.door_running = False
    with pytest.raises(UnreachableError):
        await ports.front_door.requests_seen("http")
