"""The servers that all services' tests of one worker share."""

from collections.abc import Iterator

import pytest

from tests.support.service_stand import Backing, backing


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backing]:
    """OpenBao, PostgreSQL and Redis."""
    with backing(tmp_path_factory.mktemp("servers")) as made:
        yield made
