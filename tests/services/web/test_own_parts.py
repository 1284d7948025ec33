"""A service has settings and parts of its own."""

from pathlib import Path
from typing import cast

import pytest

from zakupai_common.vault.store import SecretStore
from zakupai_common.web.parts import Parts
from zakupai_common.web.settings import ServiceSettings, settings_from_environment


def test_a_part_is_found_by_its_type_and_only_after_it_was_put() -> None:
    parts = Parts(ServiceSettings(), cast(SecretStore, None))
    with pytest.raises(LookupError, match="PosixPath"):
        parts.own(type(Path()))
    parts.put(Path("here"))
    assert parts.own(type(Path())) == Path("here")


def test_only_the_options_that_a_service_names_reach_it(tmp_path: Path) -> None:
    environ = {"ZAKUPAI_X_TABLE": "a", "ZAKUPAI_X_OTHER": "b", "ZAKUPAI_X_EMPTY": ""}
    named = ("ZAKUPAI_X_TABLE", "ZAKUPAI_X_EMPTY", "ZAKUPAI_X_ABSENT")
    settings = settings_from_environment(environ, folder=tmp_path, options=named)
    assert settings.options == {"ZAKUPAI_X_TABLE": "a"}
