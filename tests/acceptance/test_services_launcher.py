"""``make services``: real servers, secrets from Vault and nowhere else, all of it stopped."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from launcher.roster import SERVICES
from tests.support.estate import estate_at, launcher, secret_texts
from tests.support.real import require

pytestmark = [pytest.mark.row("B4"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    require("caddy")
    folder = tmp_path_factory.mktemp("estate") / "services"
    try:
        yield folder
    finally:
        launcher(folder, "down")


def processes_of(work: Path) -> list[psutil.Process]:
    """Everything that runs out of this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            told = [process.cwd(), *process.cmdline()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(work) in part for part in told):
            found.append(process)
    return found


def test_all_services_come_up_with_secrets_from_vault_and_go_down_without_a_trace(
    work: Path,
) -> None:
    up = launcher(work, "up")
    assert up.returncode == 0, up.stderr
    estate = estate_at(work)
    hidden = secret_texts(estate)
    assert len(hidden) > 3 * len(SERVICES)
    for service in SERVICES:
        ready = httpx.get(f"{estate.place.url(service.name)}/ready").json()
        assert ready["parts"]["secrets"] == {"ready": True, "detail": "present"}

    running = processes_of(work)
    assert len(running) >= len(SERVICES) + 3
    for process in running:
        seen = " ".join([*process.cmdline(), *map(str, process.environ().items())])
        assert not [text for text in hidden if text in seen], process.name()
    logs = [*work.rglob("*.log"), *work.rglob("*.out")]
    assert logs
    for log in logs:
        written = log.read_text(errors="replace")
        assert not [text for text in hidden if text in written], log
    assert hidden[0] not in up.stdout + up.stderr
    assert not list(work.rglob(".env*"))

    before = {service.name: estate.programs.running(service.name) for service in SERVICES}
    again = launcher(work, "up")
    assert again.returncode == 0, again.stderr
    assert secret_texts(estate) == hidden
    assert {name: estate.programs.running(name) for name in before} == before

    assert launcher(work, "down").returncode == 0
    assert not processes_of(work)
    assert launcher(work, "status").returncode == 1
