"""A front door, alone or before a real OpenBao."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import make_pki
from tests.support.house import House, door_settings
from tests.support.house import house as build_house
from zvault.ops.frontdoor.door import FrontDoor
from zvault.ops.frontdoor.settings import FrontDoorSettings


@pytest.fixture
def settings(tmp_path: Path) -> FrontDoorSettings:
    return door_settings(tmp_path, make_pki(tmp_path / "tls"))


@pytest.fixture
def door(settings: FrontDoorSettings) -> Iterator[FrontDoor]:
    door = FrontDoor(settings)
    yield door
    door.stop()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    with build_house(tmp_path) as built:
        monkeypatch.setenv("SSL_CERT_FILE", str(built.pki.ca))
        yield built
