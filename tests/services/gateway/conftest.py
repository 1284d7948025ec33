"""The gateway, standing."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.services.gateway.stand import GatewayStand, standing_gateway
from tests.support.service_stand import Backing, Provided, provide
from zakupai_gateway.service import SERVICE


@pytest.fixture(scope="session")
def provided(servers: Backing) -> Provided:
    return provide(servers, SERVICE)


@pytest.fixture
async def stand(provided: Provided, tmp_path: Path) -> AsyncIterator[GatewayStand]:
    async with standing_gateway(provided, tmp_path) as made:
        yield made
