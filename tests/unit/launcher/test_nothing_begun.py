"""Commands on a folder where nothing was started."""

from pathlib import Path

import pytest

from tests.support.estate import launcher


@pytest.mark.parametrize(("command", "code"), [("status", 1), ("smoke", 1), ("down", 0)])
def test_where_nothing_was_started_that_is_said_and_nothing_is_made(
    command: str, code: int, tmp_path: Path
) -> None:
    told = launcher(tmp_path / "services", command)
    assert told.returncode == code
    assert told.stderr == "services: nothing was started here: `make services` first\n"
    assert list(tmp_path.iterdir()) == []
