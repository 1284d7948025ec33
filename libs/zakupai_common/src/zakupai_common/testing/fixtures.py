"""Fixtures for pytest: import them in a ``conftest.py``.

What lives here: ``fake_vault`` for each test, ``engine_vault`` for the session.
"""

from collections.abc import Iterator

import pytest

from zakupai_common.testing.engine import EngineMissingError, embedded_vault
from zakupai_common.testing.fake import FakeVault
from zakupai_common.testing.real import RealVault


@pytest.fixture
def fake_vault() -> Iterator[FakeVault]:
    """An empty fake Vault."""
    with FakeVault() as vault:
        yield vault


@pytest.fixture(scope="session")
def engine_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVault]:
    """One embedded engine for all tests; skips by name when zvault is not installed."""
    try:
        with embedded_vault(tmp_path_factory.mktemp("engine-vault")) as vault:
            yield vault
    except EngineMissingError as missing:
        pytest.skip(str(missing))
