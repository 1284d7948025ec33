"""The state file and the journal agree, or nothing is begun: a stage that clients have left would
be stood up.
"""

from collections.abc import Awaitable, Callable

import pytest

from tests.faults.migration.world import (
    FILE_URL,
    S3_URL,
    Killed,
    Killer,
    Site,
    connect,
    new_site,
)
from zvault.ops.migration.errors import StateLostError
from zvault.ops.migration.ledger import require_agreement
from zvault.ops.migration.model import Limits, Options, SiteState
from zvault.ops.migration.operate import Operator
from zvault.ops.migration.stand import Stand

OLD_COPY = SiteState(8, FILE_URL)


def operator_of(site: Site) -> Operator:
    return connect(site, Killer())[1]()


def stand(operator: Operator) -> Stand:
    records = operator.journal.records
    return Stand(operator.ports, operator.geography, Limits(), records)


async def in_stage_9() -> Site:
    site = new_site(8)
    operator = operator_of(site)
    proposal = await operator.propose(9, Options())
    await operator.migrate(proposal, proposal.id)
    return site


@pytest.mark.parametrize("state", [None, OLD_COPY])
@pytest.mark.parametrize(
    "wish",
    [
        lambda operator: stand(operator).up(7),
        lambda operator: stand(operator).up(8),
        lambda operator: stand(operator).back_up(),
        lambda operator: stand(operator).renew_certificate(),
        lambda operator: operator.propose(9, Options()),
        lambda operator: operator.propose(7, Options()),
    ],
)
async def test_a_lost_or_old_state_is_named_and_nothing_is_begun(
    state: SiteState | None, wish: Callable[[Operator], Awaitable[object]]
) -> None:
    site = await in_stage_9()
    site.state = state
    site.server.alive, site.agent.alive = False, False
    operator = operator_of(site)
    with pytest.raises(StateLostError, match=f"run r1 made stage 9 active on {S3_URL}"):
        await wish(operator)
    assert site.state == state
    assert not site.server.alive


async def test_after_a_rollback_the_latest_commit_counts() -> None:
    site = await in_stage_9()
    operator = operator_of(site)
    back = await operator.propose(8, Options(take_backup=True))
    await operator.migrate(back, back.id)
    require_agreement(site.state, operator.journal.records)
    assert site.state is not None
    site.state = SiteState(9, S3_URL, "r1")
    with pytest.raises(StateLostError, match="run r2 made stage 8 active"):
        require_agreement(site.state, operator.journal.records)


async def test_a_commit_that_the_journal_does_not_know_yet_is_a_kills_trace() -> None:
    site = await in_stage_9()
    operator = operator_of(site)
    back = await operator.propose(8, Options(take_backup=True))
    write = operator.ports.state.write

    async def and_dies(state: SiteState) -> None:
        await write(state)
        raise Killed

    operator.ports.state.write = and_dies  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await operator.migrate(back, back.id)
    again = operator_of(site)
    require_agreement(site.state, again.journal.records)
    assert (await again.resume()).active_stage == 8


def test_without_a_journal_the_state_is_believed() -> None:
    require_agreement(OLD_COPY, [])
    require_agreement(None, [])
