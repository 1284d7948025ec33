"""What the smoke expects, and how it tells: wrong values fail, unmade checks never pass."""

from decimal import Decimal

import pytest

from launcher.smoke.checks import (
    FAILED,
    PASSED,
    SKIPPED,
    Check,
    CheckFailedError,
    CheckSkippedError,
    Outcome,
    as_json,
    passed,
    run,
)
from launcher.smoke.expected import LOTS, Counted, Lot, base_of, lots_for
from launcher.smoke.metrics import parse


def outcome(prove: object) -> Outcome:
    (made,) = run([Check("one", prove)], lambda told: None)  # type: ignore[arg-type]
    return made


def raising(error: Exception) -> object:
    def prove() -> str:
        raise error

    return prove


@pytest.mark.parametrize(
    ("prove", "state"),
    [
        (lambda: "seen", PASSED),
        (raising(CheckFailedError("no")), FAILED),
        (raising(KeyError("api_key")), FAILED),
        (raising(CheckSkippedError("not installed")), SKIPPED),
    ],
)
def test_a_check_is_passed_failed_or_skipped(prove: object, state: str) -> None:
    assert outcome(prove).state == state


def test_what_an_answer_held_is_not_repeated() -> None:
    assert "zk_secret" not in outcome(raising(ValueError("zk_secret"))).detail


def test_one_failure_or_nothing_looked_at_is_no_success() -> None:
    good, bad = Outcome("a", PASSED, "", 0), Outcome("b", FAILED, "", 0)
    skipped = Outcome("c", SKIPPED, "not installed", 0)
    assert passed([good, skipped])
    assert not passed([good, bad])
    assert not passed([skipped])
    assert not passed([])
    assert as_json([good, skipped])["skipped"] == ["c"]


def test_fifteen_percent_is_within_the_limit_and_a_hair_more_is_not() -> None:
    assert Lot("85.00", (("50", "2"),)).violates is False
    assert Lot("84.99", (("50", "2"),)).violates is True
    assert Lot("5", ()).violates is None


def test_the_ratio_counts_judged_lots_only_and_is_absent_without_one() -> None:
    assert Counted().ratio is None
    assert Counted().after(LOTS) == Counted(3, 5)
    assert Counted(1, 2).after([Lot("5", ())]).ratio == 50.0


@pytest.mark.parametrize("before", [Counted(), Counted(3, 5), Counted(30, 50), Counted(7, 7)])
def test_the_lots_always_move_the_ratio(before: Counted) -> None:
    assert before.after(lots_for(before)).ratio != before.ratio


def test_vat_inside_an_amount_is_rounded_half_up() -> None:
    assert base_of(Decimal("112.00")) == Decimal("100.00")
    assert base_of(Decimal("0.14")) == Decimal("0.13")  # 0.125 exactly


def test_samples_are_told_by_name_and_labels() -> None:
    text = '# TYPE e counter\ne_total{reason="garbage"} 2\ne_total{reason="cut"} 1\n'
    found = parse(text)
    assert found.one("e_total", reason="garbage") == 2
    assert found.one("e_total", reason="other") is None
    assert found.named("e_total") == {(("reason", "garbage"),): 2, (("reason", "cut"),): 1}
