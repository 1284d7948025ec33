"""The shape that keeps the code readable: sizes, door-plates, no address, no path of a machine."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted(
    path for room in ("src", "libs", "services", "demo") for path in (ROOT / room).rglob("*.py")
)
HARD_LIMIT_LINES = 500
FUNCTION_LIMIT_LINES = 60
EXCEPTIONS: dict[str, str] = {}
"""Module → why it may be longer than the limit."""


def functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_has_a_door_plate_and_a_readable_size(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    if text.strip():
        assert ast.get_docstring(tree), "no door-plate"
    if path.name not in EXCEPTIONS:
        assert text.count("\n") <= HARD_LIMIT_LINES
    long = [f"{f.name}: {body_lines(f)}" for f in functions(tree) if body_lines(f) > 60]
    assert not long


def tracked_files() -> list[Path]:
    names = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True
    ).stdout.decode()
    return [ROOT / name for name in names.split("\0") if name]


def test_no_file_names_a_registry_or_a_place_on_one_machine() -> None:
    forbidden = re.compile(
        rb"(pypi\.org|pythonhosted|registry\.npmjs|crates\.io/|proxy\.golang|deb\.debian|"
        rb"/work/main|/work/shared|/root/)"
    )
    guilty = [
        str(path.relative_to(ROOT))
        for path in tracked_files()
        if path.exists()
        and path.suffix not in {".gz", ".png"}
        and path != Path(__file__)
        and forbidden.search(path.read_bytes())
    ]
    assert not guilty


def test_no_binary_is_tracked_but_the_golden_stores() -> None:
    guilty = [
        str(path.relative_to(ROOT))
        for path in tracked_files()
        if path.exists()
        and b"\0" in path.read_bytes()[:8000]
        and path.parent.name != "stores"
        and path.suffix not in {".png"}
    ]
    assert not guilty
