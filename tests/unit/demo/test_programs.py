"""The services' part of the outcome: each promise is broken by its own fault, and named."""

import json
import subprocess
import sys
from dataclasses import replace

from demo.load.ledger import Operation
from demo.place import ROOT
from demo.report.outcome import Outcome
from demo.report.page import page
from demo.report.programs import Counts, Programs, Proof, programs_table

DONE = Counts(logins=1, renewals=2, rereads=9, fresh=True)


def request(
    number: int, lane: str = "calc.jwt", seconds: float = 0.01, error: str = ""
) -> Operation:
    return Operation(
        lane,
        number,
        "service",
        {"path": "/api/calc/vat"},
        number * 0.1,
        number * 0.1 + seconds,
        error,
    )


def good() -> Programs:
    return Programs(
        ("calc", "gateway"),
        [request(n, lane) for n in range(60) for lane in ("calc.jwt", "calc.key", "gateway.jwt")],
        [],
        [Proof("stage8", name, DONE, login=True) for name in ("calc", "gateway")],
        {"calc": Counts(12, 22, 145, fresh=True)},
        ("stage8",),
        5_000,
    )


def test_services_with_everything_in_order_break_no_promise() -> None:
    assert good().broken_promises() == []


def test_each_promise_is_broken_by_its_own_fault_and_names_the_service() -> None:
    def told(**wrong: object) -> list[str]:
        changed = replace(good(), **wrong)  # type: ignore[arg-type]
        return changed.broken_promises()

    def proofs(counts: Counts) -> list[Proof]:
        return [Proof("stage8", "calc", counts, login=True), *good().proofs[1:]]

    requests = good().requests
    faults = {
        "calc: 1 requests failed, the first: /api/calc/vat: 503": told(
            requests=[*requests, request(1, error="503")]
        ),
        "a client waited 6000 ms for calc": told(requests=[*requests, request(1, seconds=6.0)]),
        "gateway: only 0 requests": told(
            requests=[one for one in requests if one.lane != "gateway.jwt"]
        ),
        "1 requests at services never ended": told(unfinished=[request(1)]),
        "calc: nothing was proven after step stage8": told(proofs=good().proofs[1:]),
        "calc: its secrets were not re-read after": told(proofs=proofs(replace(DONE, rereads=0))),
        "calc: its token was not renewed after": told(proofs=proofs(replace(DONE, renewals=0))),
        "calc: it did not log in again after": told(proofs=proofs(replace(DONE, logins=0))),
        "calc: its last reading did not get all": told(proofs=proofs(replace(DONE, fresh=False))),
    }
    for words, found in faults.items():
        assert len(found) == 1, (words, found)
        assert words in found[0]


def test_only_a_migration_wants_a_login() -> None:
    without = replace(DONE, logins=0)
    assert without.missing(login=False) == []
    assert without.missing(login=True) == ["it did not log in again"]


def test_the_first_login_is_none_again_and_both_credentials_count_for_one_service() -> None:
    told = good().to_json()["calc"]
    assert (told["requests"], told["failed"]) == (120, 0)
    assert (told["logins_again"], told["renewals"], told["secrets_reread"]) == (11, 22, 144)
    assert told["steps"] == {"stage8": {"secrets_reread": 9, "renewals": 2, "logins_again": 1}}


def test_the_outcome_breaks_with_the_services_and_the_reports_show_them() -> None:
    outcome = Outcome("a store", 1, "S3", programs=good())
    assert not [text for text in outcome.broken_promises() if "calc" in text]
    outcome.programs = replace(good(), proofs=[])
    assert [text for text in outcome.broken_promises() if text.startswith("calc: nothing")]
    told = json.loads(json.dumps(outcome.to_json()))
    assert told["services"]["calc"]["requests"] == 120
    assert "<h2>The services" in page(outcome)
    assert list(programs_table(good())[0][:2]) == ["calc", "120"]


def test_a_demo_without_services_says_nothing_of_them() -> None:
    outcome = Outcome("a store", 1, "S3")
    assert outcome.to_json()["services"] is None
    assert "The services" not in page(outcome)


def test_a_demo_without_services_needs_none_of_their_packages() -> None:
    look = (
        "import sys, demo.__main__, demo.run;"
        "print([one for one in sys.modules if one.startswith(('zakupai', 'psycopg', 'fastapi'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
