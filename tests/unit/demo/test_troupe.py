"""The services of a demo: the same processes all along, and somebody asks them all the time."""

from types import SimpleNamespace
from typing import Any

import pytest

from demo.estate.troupe import ERRANDS, Troupe
from demo.report.programs import Counts, Programs
from demo.story import PromiseBrokenError
from zvault.base.process import ProcessIdentity

Running = dict[str, ProcessIdentity | None]


def process(pid: int) -> ProcessIdentity:
    return ProcessIdentity(pid, 1)


def troupe(running: Running) -> Troupe:
    """``running`` may change later."""
    services = [SimpleNamespace(name=name, guard=None) for name in ("calc", "etl")]
    programs = SimpleNamespace(running=running.get, last_words=lambda name: f"{name} broke")
    estate: Any = SimpleNamespace(services=services, programs=programs, service=lambda name: name)
    nobody: Any = None
    made = Troupe(nobody, estate, nobody, nobody, Programs(("calc", "etl")), print)
    made._processes = made._running()
    return made


def all_running() -> Running:
    return {"calc": process(1), "etl": process(2), ERRANDS: process(3)}


def test_the_same_processes_all_along_break_nothing() -> None:
    troupe(all_running())._still_running()


@pytest.mark.parametrize("now", [None, process(7), ProcessIdentity(2, 9)])
def test_a_service_that_is_another_process_now_breaks_the_promise(
    now: ProcessIdentity | None,
) -> None:
    running = all_running()
    watched = troupe(running)
    running["etl"] = now
    with pytest.raises(PromiseBrokenError, match=r"^etl did not stay the process"):
        watched._still_running()


def test_a_service_that_never_ran_is_not_taken_for_one_that_stayed() -> None:
    with pytest.raises(PromiseBrokenError, match=r"^calc did not stay the process"):
        troupe({**all_running(), "calc": None})._still_running()


def test_without_anybody_who_asks_nothing_is_proven() -> None:
    running = all_running()
    watched = troupe(running)
    running[ERRANDS] = None
    with pytest.raises(PromiseBrokenError, match="errands broke"):
        watched._still_running()


@pytest.mark.parametrize(
    ("status", "trouble", "words"),
    [
        (200, "", []),
        (401, "", ["etl: what was just written into Vault is not in use"]),
        (200, "sealed", ["etl: its trouble with Vault is sealed"]),
    ],
)
def test_a_proof_is_open_until_the_service_uses_what_was_just_written(
    monkeypatch: pytest.MonkeyPatch, status: int, trouble: str, words: list[str]
) -> None:
    def signed(_: object, service: str, __: object, key: str) -> SimpleNamespace:
        assert key == "new"
        good = service == "calc"
        answer = {"vault": {"trouble": "" if good else trouble}}
        return SimpleNamespace(status_code=200 if good else status, json=lambda: answer)

    monkeypatch.setattr("demo.estate.troupe.signed", signed)
    done = dict.fromkeys(("calc", "etl"), Counts(1, 1, 1, fresh=True))
    stamps = {"calc": "new", "etl": "new"}
    assert troupe(all_running())._open(done, stamps, login=True) == words
