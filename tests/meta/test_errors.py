"""Errors: one slug each, one exit code each, and the table in the documentation says the same."""

import importlib
import pkgutil
import re
from pathlib import Path

import zvault
from zvault.base.errors import ZvaultError
from zvault.cli.exits import EXIT_CODES, INTERNAL, exit_code

DOCS = Path(__file__).parent.parent.parent / "docs" / "cli.md"


def all_errors() -> set[type[ZvaultError]]:
    for module in pkgutil.walk_packages(zvault.__path__, "zvault."):
        importlib.import_module(module.name)
    found: set[type[ZvaultError]] = set()
    todo = [ZvaultError]
    while todo:
        error = todo.pop()
        found.add(error)
        todo.extend(error.__subclasses__())
    return {error for error in found if error.__module__.startswith("zvault.")}


def test_every_error_that_a_command_may_show_has_a_category() -> None:
    outside = {
        error.__name__
        for error in all_errors()
        if not error.__module__.startswith(("zvault.engine", "zvault.base"))
        and exit_code(error.__new__(error)) == INTERNAL  # their constructors differ
    }
    assert not outside


def test_codes_are_stable_slugs_and_belong_to_one_error_each() -> None:
    codes: dict[str, list[str]] = {}
    for error in all_errors():
        assert re.fullmatch(r"[a-z][a-z0-9-]*", error.code), error
        if "code" in error.__dict__:
            codes.setdefault(error.code, []).append(error.__name__)
    assert not {code: names for code, names in codes.items() if len(names) > 1}


def test_exit_codes_are_the_documented_ones() -> None:
    documented = dict(re.findall(r"^\| `(\d+)` \| ([\w-]+) \|", DOCS.read_text(), re.M))
    real = {str(number): error.code for error, number in EXIT_CODES.items()}
    real["0"], real[str(INTERNAL)] = "verified", "internal"
    assert documented == real
