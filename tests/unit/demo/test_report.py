"""The outcome keeps its promises apart from its hopes; the report shows what the outcome says."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from demo.load.control import acknowledgement, parse_acknowledgement
from demo.load.ledger import Ledger, LedgerReader, Operation
from demo.proof.findings import LOST, Finding, Verdict
from demo.report.figures import Kill, Step, in_flight_at_the_longest_silence, step_figures
from demo.report.outcome import LeakReport, Outcome, WitnessReport
from demo.report.page import page
from demo.report.picture import draw, family

EQUAL = Verdict(1, 2, 3, 4, 5, ())
CLEAN = LeakReport(1, 2, 3.0, 4, 5, 6, ("private/x",), (), (), ())


def op(number: int, started: float, seconds: float = 0.01, error: str = "") -> Operation:
    return Operation("s.0", number, "kv.read", {"path": "p"}, started, started + seconds, error, {})


def good() -> Outcome:
    step = Step("kill8", "kill -9", 0.0, 100.0, cutover=True, verdict=EQUAL, short="Stage 8")
    step.kills = [Kill(8, 10.0, 900.0), Kill(8, 20.0, 800.0), Kill(9, 30.0, 700.0)]
    outcome = Outcome("a store", 172, "S3", steps=[step])
    outcome.operations = [op(n, n * 0.02) for n in range(3000)]
    outcome.offline = {"entries": 1}
    outcome.witness = WitnessReport("2.6.2", 1, 2, 3, 4.0)
    outcome.leaks = CLEAN
    return outcome


def test_an_outcome_with_everything_in_order_breaks_no_promise() -> None:
    told = good().to_json()
    assert told["broken_promises"] == []
    assert told["success"] is True
    assert told["unseal_after_kill_ms"] == {"8": [900.0, 800.0], "9": [700.0]}
    json.dumps(told)


def test_each_promise_is_broken_by_its_own_fault() -> None:
    def broken(change: object) -> list[str]:
        outcome = good()
        change(outcome)  # type: ignore[operator]
        return outcome.broken_promises()

    faults = {
        "failed": lambda o: o.operations.append(op(1, 1.0, error="503")),
        "never ended": lambda o: o.unfinished.append(op(1, 1.0)),
        "too few": lambda o: o.operations.__delitem__(slice(100, None)),
        "waited": lambda o: o.operations.append(op(1, 1.0, 6.0)),
        "killed 1 times": lambda o: o.steps[0].kills.pop(0),
        "later than": lambda o: o.steps[0].kills.__setitem__(0, Kill(8, 1.0, 31_000.0)),
        "secret lost": lambda o: setattr(
            o.steps[0], "verdict", replace(EQUAL, findings=(Finding(LOST, "p", "gone"),))
        ),
        "nothing was compared": lambda o: setattr(o.steps[0], "verdict", None),
        "offline": lambda o: setattr(o, "offline", None),
        "OpenBao": lambda o: setattr(o, "witness", None),
        "nobody searched": lambda o: setattr(o, "leaks", None),
        "leak: ": lambda o: setattr(o, "leaks", replace(CLEAN, leaks=("x in y",))),
        "readable for others": lambda o: setattr(o, "leaks", replace(CLEAN, wide_inputs=("x",))),
        "canary": lambda o: setattr(o, "leaks", replace(CLEAN, canaries_missed=("x",))),
        "no luck": lambda o: o.broken.append("no luck"),
    }
    for words, fault in faults.items():
        told = broken(fault)
        assert len(told) == 1, (words, told)
        assert words in told[0]


def test_a_finding_seen_after_two_steps_is_counted_once() -> None:
    outcome = good()
    verdict = replace(EQUAL, findings=(Finding(LOST, "p", "gone"),))
    outcome.steps[0].verdict = verdict
    outcome.steps.append(replace(outcome.steps[0], name="again", kills=[]))
    assert outcome.to_json()["secrets_lost"] == 1


def test_in_flight_counts_who_waited_through_the_longest_silence() -> None:
    before = [op(n, n * 0.1) for n in range(10)]
    held = [op(100 + n, 1.0 + n / 100, 2.0) for n in range(4)]
    after = [op(200 + n, 3.5 + n * 0.1) for n in range(10)]
    assert in_flight_at_the_longest_silence([*before, *held, *after]) == 4
    assert in_flight_at_the_longest_silence([]) == 0


def test_an_operation_belongs_to_the_step_in_which_it_began() -> None:
    operations = [op(1, 0.9, 5.0), op(2, 1.0), op(3, 2.0, error="x")]
    first = step_figures(operations, 0.0, 1.0)
    second = step_figures(operations, 1.0, 3.0)
    assert (first.operations, round(first.longest_ms)) == (1, 5000)
    assert (second.operations, second.failed) == (2, 1)


def test_the_picture_is_well_formed_and_has_a_dot_for_every_operation() -> None:
    outcome = good()
    outcome.operations.append(op(9, 5.0, 0.7, error='<"broken">'))
    picture = ElementTree.fromstring(draw(outcome.steps, outcome.operations, outcome.kills))
    dots = sum(
        (path.get("d") or "").count("M")
        for path in picture.iter("path")
        if (path.get("class") or "").startswith("dot")
    )
    assert dots == 3000
    assert sum(path.get("class") == "failed" for path in picture.iter("path")) == 1


def test_an_empty_outcome_still_makes_a_page() -> None:
    text = page(Outcome("a store", 0, ""))
    assert "A promise was broken" in text
    assert "http" not in text.split("</style>")[1].split("<body>")[0]


def test_the_page_escapes_what_it_shows_and_loads_nothing() -> None:
    outcome = good()
    outcome.broken.append("<script>alert(1)</script>")
    text = page(outcome)
    assert "<script" not in text
    assert "src=" not in text
    assert "url(" not in text


@pytest.mark.parametrize(
    ("kind", "colour"),
    [("kv.read", "read"), ("kv.write", "write"), ("login", "token"), ("cubbyhole.read", "read")],
)
def test_operations_have_colours(kind: str, colour: str) -> None:
    assert family(kind) == colour


def test_a_ledger_reads_back_what_was_done_and_what_never_ended(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "s.0.jsonl", "s.0")
    reader = LedgerReader(tmp_path)

    def fail() -> dict[str, object]:
        raise ValueError("no")

    assert ledger.run("kv.read", {"path": "лот"}, lambda: {"version": 1})
    assert not ledger.run("kv.write", {"path": "b"}, fail)
    first, second = reader.new_operations()
    assert (first.ok, first.got, first.intent) == (True, {"version": 1}, {"path": "лот"})
    assert (second.ok, second.error) == (False, "ValueError: no")
    assert reader.new_operations() == []
    with (tmp_path / "s.0.jsonl").open("a") as file:
        file.write('{"n":3,"kind":"kv.read","at":1.0,"intent":{}}\n{"n":3,"en')
    assert reader.new_operations() == []
    assert [operation.number for operation in reader.unfinished()] == [3]
    ledger.close()


def test_an_acknowledgement_is_read_back_and_other_lines_are_not() -> None:
    assert parse_acknowledgement(acknowledgement("risk-engine.1", 7)) == ("risk-engine.1", 7)
    for line in ("", "broken x", "seen", "seen x y", "seen 1 "):
        assert parse_acknowledgement(line) is None
