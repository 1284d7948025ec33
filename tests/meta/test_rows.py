"""Every row of the mission has a test, or is named as later with the reason."""

import re
import tomllib
from pathlib import Path

TESTS = Path(__file__).parent.parent
TABLE = tomllib.loads((TESTS / "rows.toml").read_text())
MARK = re.compile(r"mark\.row\(([^)]*)\)")
NAME = re.compile(r"[\"']([A-C]\d+(?:\.\d+)?)[\"']")


def marked_rows() -> dict[str, list[str]]:
    """Row to the test files that are marked with it."""
    found: dict[str, list[str]] = {}
    for file in TESTS.rglob("test_*.py"):
        for arguments in MARK.findall(file.read_text()):
            for row in NAME.findall(arguments):
                found.setdefault(row, []).append(file.name)
    return found


def test_every_row_is_proven_or_named_as_later() -> None:
    missing = sorted(set(TABLE["all"]["rows"]) - set(marked_rows()) - set(TABLE["later"]))
    assert not missing


def test_no_test_names_a_row_that_the_mission_does_not_have() -> None:
    assert not sorted(set(marked_rows()) - set(TABLE["all"]["rows"]))


def test_what_is_later_has_a_reason_and_is_a_row() -> None:
    for table in ("later", "parts-later"):
        assert not set(TABLE[table]) - set(TABLE["all"]["rows"])
        assert all(TABLE[table].values())
