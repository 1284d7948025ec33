"""What the smoke asks of each service before anybody asks it anything: each lie is found."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from launcher.smoke import grounds
from launcher.smoke.checks import CheckFailedError
from zakupai_calc.service import SERVICE as CALC
from zvault.base.process import ProcessIdentity, identify

KEY, PASSWORD = "the-key-that-lies-in-vault", "the-password-that-lies-in-vault"
KEPT = {
    "services/calc/identity": {"key": KEY},
    "services/calc/database": {"user": "calc", "password": PASSWORD},
}


def check(name: str, process: ProcessIdentity | None = None) -> Callable[[], str]:
    estate: Any = SimpleNamespace(
        services=[CALC],
        vault=SimpleNamespace(read=KEPT.__getitem__),
        programs=SimpleNamespace(running=lambda _: process),
        postgres=SimpleNamespace(port=1),
    )
    (found,) = [one for one in grounds.grounds(estate) if one.name == f"calc: {name}"]
    return found.prove


def believes(monkeypatch: pytest.MonkeyPatch, *keys: str) -> None:
    """A service that believes requests signed with these keys."""

    def signed(_: object, __: object, ___: str, key: str) -> SimpleNamespace:
        return SimpleNamespace(status_code=200 if "*" in keys or key in keys else 401)

    monkeypatch.setattr(grounds, "signed", signed)


@pytest.mark.parametrize(
    ("told", "keys", "wrong"),
    [
        ({}, [KEY], None),
        ({"PASSWORD": PASSWORD}, [KEY], "its environment holds a secret"),
        ({"ARGUMENTS": f"--identity={KEY}"}, [KEY], "its environment holds a secret"),
        ({}, ["*"], "answered with 200"),
        ({}, ["another key"], "answered with 401"),
    ],
)
def test_a_service_was_told_no_secret_and_believes_vaults_key_and_no_other(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], keys: list[str], wrong: str | None
) -> None:
    believes(monkeypatch, *keys)
    with subprocess.Popen(["/bin/sleep", "60"], env={"STARTED": "yes", **told}) as process:
        try:
            environment = Path(f"/proc/{process.pid}/environ")
            while "STARTED" not in environment.read_text():  # the kernel shows it a moment later
                time.sleep(0.001)
            prove = check("secrets from Vault", identify(process.pid))
            if wrong is None:
                assert prove() == f"{len(CALC.declared())} declared, none in its environment"
            else:
                with pytest.raises(CheckFailedError, match=wrong):
                    prove()
        finally:
            process.kill()


def test_an_environment_that_shows_nothing_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a process that has just ended, for example."""
    believes(monkeypatch, KEY)
    with subprocess.Popen(["/bin/sleep", "60"], env={}) as process:
        try:
            with pytest.raises(CheckFailedError, match="cannot be seen"):
                check("secrets from Vault", identify(process.pid))()
        finally:
            process.kill()


def test_a_process_that_is_not_the_one_that_was_started_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    believes(monkeypatch, KEY)
    with pytest.raises(CheckFailedError, match="not the one that was started"):
        check("secrets from Vault")()


@pytest.mark.parametrize(
    ("lets_in", "wrong"),
    [
        ({PASSWORD}, None),
        ({PASSWORD, "not-the-password"}, "lets in who knows no password"),
        (set(), "what Vault holds does not open the database"),
    ],
)
def test_postgresql_wants_the_password_that_vault_holds(
    monkeypatch: pytest.MonkeyPatch, lets_in: set[str], wrong: str | None
) -> None:
    def connect(*, password: str, **_: object) -> Any:
        if password not in lets_in:
            raise psycopg.OperationalError
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(psycopg, "connect", connect)
    prove = check("PostgreSQL wants Vault's password")
    if wrong is None:
        assert prove() == "and refuses another"
    else:
        with pytest.raises(CheckFailedError, match=wrong):
            prove()
