"""calc, standing."""

from collections.abc import AsyncIterator

import pytest

from tests.support.service_stand import Backing, Provided, Stand, provide, standing
from zakupai_calc.service import SERVICE


@pytest.fixture(scope="session")
def provided(servers: Backing) -> Provided:
    return provide(servers, SERVICE)


@pytest.fixture
async def calc(provided: Provided) -> AsyncIterator[Stand]:
    async with standing(provided) as made:
        yield made
