"""How long clients wait: what is done behind the fence hangs on what moved, and is told."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.faults.migration.world import (
    S3_URL,
    SEALED,
    KilledStorage,
    Killer,
    Site,
    With,
    connect,
    end_state,
    new_site,
    require_nothing_lost,
)
from zvault.ops.migration.errors import MigrationRolledBackError
from zvault.ops.migration.ledger import runs
from zvault.ops.migration.model import Held, Options
from zvault.ops.migration.operate import Ended
from zvault.ops.migration.planning import STEPS
from zvault.storage.api import Delete, Operation, Put
from zvault.storage.inmem import InMemStorage

DIRECTIONS = [(8, 9), (9, 8)]
Act = Callable[[], Awaitable[None]]


def grown(origin: int, entries: int) -> Site:
    """A site with so many entries more."""
    site = new_site(origin)
    more = {f"logical/more/{n:05}": SEALED + b"%d" % n for n in range(entries)}
    for key, value in more.items():
        site.active_store()._put(key, value)
    site.acknowledged.update(more)
    return site


async def go(site: Site, to_stage: int) -> Ended:
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(to_stage, Options())
    assert proposal.refusals == ()
    return await operator.migrate(proposal, proposal.id)


def before(step: str, act: Act, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something happens right before that step does its own."""
    whole = STEPS[step]

    async def acted(world: Any) -> dict[str, Any]:
        await act()
        return await whole.act(world)

    monkeypatch.setitem(STEPS, step, With(whole, "act", acted))  # type: ignore[arg-type]


def filled_by_the_run(site: Site, to_stage: int) -> InMemStorage:
    """The destination, whatever its name."""
    if to_stage == 9:
        return site.stores[S3_URL]
    return next(store for url, store in site.stores.items() if url.startswith("file:data-"))


async def reads_while_waiting(
    origin: int, to_stage: int, entries: int, monkeypatch: pytest.MonkeyPatch
) -> int:
    site = grown(origin, entries)
    reads: list[str] = []
    original = KilledStorage.get

    async def get(storage: KilledStorage, key: str) -> bytes | None:
        if not site.serving():
            reads.append(key)
        return await original(storage, key)

    with monkeypatch.context() as patch:
        patch.setattr(KilledStorage, "get", get)
        await go(site, to_stage)
    require_nothing_lost(site)
    assert reads
    return len(reads)


@pytest.mark.parametrize(("origin", "to_stage"), DIRECTIONS)
async def test_what_is_read_while_clients_wait_does_not_grow_with_the_store(
    origin: int, to_stage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = await reads_while_waiting(origin, to_stage, 10, monkeypatch)
    many = await reads_while_waiting(origin, to_stage, 400, monkeypatch)
    assert many - few < 20  # clients have seven keys, and may have written to others of them


VICTIM = "logical/original/3"
DAMAGE: dict[str, Operation] = {
    "drop": Delete(VICTIM),
    "alter": Put(VICTIM, b"no longer sealed"),
    "older": Put(VICTIM, SEALED + b"an older self"),
    "resurrect": Put("logical/original/99", SEALED + b"long deleted"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize(("origin", "to_stage"), DIRECTIONS)
async def test_damage_to_the_copy_after_the_catch_up_is_mended_by_the_delta(
    origin: int, to_stage: int, damage: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = new_site(origin)

    async def act() -> None:
        await filled_by_the_run(site, to_stage).apply([damage])

    before("fence", act, monkeypatch)
    await go(site, to_stage)
    require_nothing_lost(site)


@pytest.mark.parametrize("step", ["prove", "compare"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize(("origin", "to_stage"), DIRECTIONS)
async def test_damage_to_the_copy_behind_the_fence_stops_the_run_and_the_old_stage_serves(
    origin: int, to_stage: int, damage: Operation, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = new_site(origin)
    start = end_state(site)

    async def act() -> None:
        await filled_by_the_run(site, to_stage).apply([damage])

    before(step, act, monkeypatch)
    with pytest.raises(MigrationRolledBackError, match=r"is not what|does not open"):
        await go(site, to_stage)
    assert end_state(site)["stage"] == start["stage"]
    require_nothing_lost(site)


@pytest.mark.parametrize(("origin", "to_stage"), DIRECTIONS)
async def test_a_source_entry_damaged_after_the_catch_up_is_decrypted_before_the_commit(
    origin: int, to_stage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = new_site(origin)

    async def act() -> None:
        await site.active_store().apply([DAMAGE["alter"]])

    before("fence", act, monkeypatch)
    with pytest.raises(MigrationRolledBackError, match=f"does not open: .*{VICTIM}"):
        await go(site, to_stage)
    assert site.state is not None
    assert site.state.stage == origin


@pytest.mark.parametrize(
    ("origin", "to_stage", "first", "last"),
    [
        (7, 8, "restart", "unsealed"),
        (8, 9, "fence", "unsealed"),
        (9, 8, "fence", "unsealed"),
        (8, 7, "restart", "unseal-by-hand"),
    ],
)
async def test_the_time_that_clients_waited_is_told_by_step(
    origin: int, to_stage: int, first: str, last: str
) -> None:
    site = new_site(origin)
    ended = await go(site, to_stage)
    assert ended.held is not None
    names = [name for name, _ in ended.held.parts]
    plan = list(runs(connect(site, Killer())[1]().journal.records)[-1].plan)
    held = plan[plan.index(first) : plan.index(last) + 1]
    assert names == [name for name in held if name in names]
    assert names[0] == first
    assert sum(seconds for _, seconds in ended.held.parts) <= ended.held.seconds + 0.01
    assert Held.from_json(ended.held.to_json()) == ended.held


async def test_clients_held_too_long_are_let_go_on_and_the_longest_step_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = new_site(8)

    async def act() -> None:
        site.clock.advance(100)

    before("compare", act, monkeypatch)
    with pytest.raises(MigrationRolledBackError, match=r"the limit is 60 s \(compare 100\.\d+, "):
        await go(site, 9)
    require_nothing_lost(site)
