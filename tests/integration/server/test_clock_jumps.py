"""The machine's clock jumps under a running server: nothing breaks, what was swept stays gone."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine_server import EngineServer, start_server
from tests.support.real import ROOT

SHIFTED = """
import os, time
real = time.time_ns
def shifted():
    with open(os.environ["TEST_CLOCK_OFFSET"]) as file:
        return real() + int(file.read() or 0) * 10**9
time.time_ns = shifted
"""
HOUR, YEAR = 3600, 365 * 86_400


class Machine:
    """A server whose wall clock is the real one plus the seconds in a file."""

    def __init__(self, place: Path) -> None:
        (place / "python").mkdir()
        (place / "python/sitecustomize.py").write_text(SHIFTED)
        self._offset = place / "offset"
        self.jump(0)
        self.server: EngineServer = start_server(
            place / "server",
            storage='storage "file" { path = "data" }',
            environment={
                "PYTHONPATH": f"{place / 'python'}:{ROOT / 'src'}",
                "TEST_CLOCK_OFFSET": str(self._offset),
            },
        )
        self.server.initialize()

    def jump(self, seconds: int) -> None:
        new = self._offset.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._offset)

    def token(self, **body: Any) -> str:
        status, made = self.server.request("POST", "auth/token/create", body)
        assert status == 200, made
        return str(made["auth"]["client_token"])

    def tokens(self) -> int:
        """How many are stored, the root token with them."""
        status, told = self.server.request("GET", "auth/token/accessors?list=true")
        assert status == 200, told
        return len(told["data"]["keys"])

    def works(self, token: str) -> bool:
        status, told = self.server.request("GET", "auth/token/lookup-self", token=token)
        assert status in (200, 403), told
        return status == 200


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        yield made
    finally:
        assert made.server.stop() == 0
        assert "Traceback" not in made.server.log
        assert "[ERROR]" not in made.server.log


def soon(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_was_swept_at_a_jump_stays_gone_when_the_clock_comes_back(machine: Machine) -> None:
    token, lasting = machine.token(ttl="1h"), machine.token(ttl="100h")
    machine.jump(2 * HOUR)
    soon(lambda: not machine.works(token))
    soon(lambda: machine.tokens() == 2)
    assert machine.works(lasting)
    machine.jump(0)
    assert not machine.works(token)
    assert machine.works(lasting)


def test_a_year_back_and_forth_the_server_goes_on(machine: Machine) -> None:
    before = machine.token(ttl="1h")
    machine.jump(-YEAR)
    assert machine.works(before)
    within = machine.token(ttl="1h")
    assert machine.works(within)
    status, told = machine.server.request("GET", "auth/token/lookup-self", token=within)
    assert (status, told["data"]["ttl"]) == (200, HOUR)
    machine.jump(0)
    soon(lambda: not machine.works(within))
    assert machine.works(before)
    for offset in (YEAR, -60 * YEAR, 0):
        machine.jump(offset)
        assert machine.server.request("GET", "sys/health")[0] == 200
        assert machine.works(machine.token(ttl="1h"))
