"""The servers that all services' tests of one worker share, and the law that makes sharing safe.

A module that leaves another password, role or secret behind fails itself, by name; not whichever
module comes next in this worker.
"""

from collections.abc import Iterator

import pytest

from tests.support.service_stand import Backing, backing, left_behind

_MADE = pytest.StashKey[Backing]()


@pytest.fixture(scope="session")
def servers(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Backing]:
    """OpenBao, PostgreSQL and Redis."""
    with backing(tmp_path_factory.mktemp("servers")) as made:
        request.config.stash[_MADE] = made
        yield made


@pytest.fixture(scope="module", autouse=True)
def _as_it_was_found(request: pytest.FixtureRequest) -> Iterator[None]:
    """What services were given is theirs again after each module."""
    yield
    made = request.config.stash.get(_MADE, None)
    if made is not None:
        assert left_behind(made) == []
