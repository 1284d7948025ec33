"""What either server writes the other opens, uses and changes, and the first one takes it back."""

from pathlib import Path

import pytest

from tests.integration.interop.journey import JOURNEYS, Outcome, travel
from tests.integration.interop.parts_access import ACCESS
from tests.integration.interop.parts_data import DATA
from tests.integration.interop.parts_people import PEOPLE

PARTS = {**DATA, **ACCESS, **PEOPLE}
pytestmark = [pytest.mark.real("openbao-2.6.2"), pytest.mark.row("C6")]


@pytest.fixture(scope="module", params=sorted(JOURNEYS))
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    directory: Path = tmp_path_factory.mktemp(request.param)
    return travel(directory, request.param, PARTS)


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_part_is_used_by_both_servers_and_comes_back_as_it_was_left(
    outcome: Outcome, part: str
) -> None:
    assert part not in outcome.failures, outcome.failures[part]
    assert outcome.done[part] == 3
