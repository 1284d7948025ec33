"""The page about speed says what the benchmarks measure, and is found."""

from pathlib import Path

from benchmarks.__main__ import MIN_RATIO
from benchmarks.breakdown import PARTS
from benchmarks.load import LoadResult
from benchmarks.rows import Measured, Round, Row

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "performance.md").read_text()


def test_the_page_is_linked_from_the_readme() -> None:
    assert "(docs/performance.md)" in (ROOT / "README.md").read_text()


def test_every_key_of_a_row_in_the_report_is_documented() -> None:
    part = Measured(LoadResult(1, 1.0, 1.0, 1.0, 1.0, 0), 1.0)
    row = Row("x", 1, (Round(part, part),)).as_json()
    for key in (*row, *row["engine"]):
        assert f"`{key}`" in PAGE, key


def test_every_part_that_is_timed_has_a_line() -> None:
    for part in PARTS:
        assert f"\n| {part} |" in PAGE, part


def test_every_promised_ratio_is_a_goal_of_the_page() -> None:
    for scenario, ratio in MIN_RATIO.items():
        assert f"\n| {scenario} | {ratio:g} × |" in PAGE, scenario
