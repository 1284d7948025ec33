"""The verdict on hvac's suite cannot be green by accident; ``make conformance`` runs the suite."""

import base64
import subprocess
import sys
from pathlib import Path

from tests.conformance.hvac_suite import vault_program
from tests.conformance.hvac_suite.modules import ALL, MODULES, Module
from tests.conformance.hvac_suite.results import rows_of, summary
from zvault.engine.settings import CoreSettings

SMALL = (Module("api/x/test_a", 2, 1, "no cluster"), Module("v1/test_b", 1))


def junit(*cases: tuple[str, str, str]) -> str:
    body = "".join(
        f'<testcase classname="tests.integration_tests.{where}" name="{name}">{inner}</testcase>'
        for where, name, inner in cases
    )
    return f"<testsuites><testsuite>{body}</testsuite></testsuites>"


WHOLE = (
    ("api.x.test_a.TestA", "test_one", ""),
    ("api.x.test_a.TestA", "test_two", ""),
    ("api.x.test_a.TestA", "test_three", "<skipped/>"),
    ("v1.test_b.TestB", "test_one", ""),
)


def verdict(*cases: tuple[str, str, str]) -> list[bool]:
    return [row.ok for row in rows_of(junit(*cases), SMALL)]


def test_exactly_what_was_promised_is_green() -> None:
    assert verdict(*WHOLE) == [True, True]
    assert summary(rows_of(junit(*WHOLE), SMALL)).endswith("3 of 3 tests of hvac's own suite pass")


def test_nothing_collected_is_not_green() -> None:
    assert verdict() == [False, False]
    assert verdict(*WHOLE[1:]) == [False, True]


def test_a_skip_more_a_failure_and_an_error_are_not_green() -> None:
    assert verdict(("api.x.test_a.TestA", "test_one", "<skipped/>"), *WHOLE[1:]) == [False, True]
    for bad in ("<failure/>", "<error/>"):
        assert verdict(*WHOLE[:3], ("v1.test_b.TestB", "test_one", bad)) == [True, False]
        assert verdict(*WHOLE, ("v1.test_b.TestB", "test_two", bad)) == [True, False]


def test_a_module_that_cannot_be_imported_is_not_green() -> None:
    broken = ("", "tests.integration_tests.v1.test_b", "<error/>")
    try:
        found = verdict(*WHOLE[:3], broken)
    except ValueError:
        return
    assert found == [True, False]


def test_the_promise_is_the_issues() -> None:
    assert (ALL, len(MODULES)) == (286, 21)


def test_the_program_tells_the_servers_version_in_vaults_words() -> None:
    script = Path(vault_program.__file__)
    said = subprocess.run(
        [sys.executable, script, "-version"], capture_output=True, text=True, check=True
    ).stdout
    assert said.split()[1] == f"v{CoreSettings().version}"


def test_the_program_decodes_a_root_token_as_vaults_own_does() -> None:
    token, otp = "s.abc", "12345"
    mixed = bytes(a ^ b for a, b in zip(token.encode(), otp.encode(), strict=True))
    encoded = base64.b64encode(mixed).decode().rstrip("=")
    script = Path(vault_program.__file__)
    flags = ["-address", "x", "-tls-skip-verify", "-decode", encoded, "-otp", otp]
    said = subprocess.run(
        [sys.executable, script, "operator", "generate-root", *flags],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.strip() == token
