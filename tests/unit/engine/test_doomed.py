"""Marks of tokens that are being revoked."""

from zvault.engine.tokens.doomed import Doomed


def test_a_mark_stays_until_the_last_revocation_is_through() -> None:
    doomed = Doomed()
    doomed.mark("a")
    doomed.mark("a")
    doomed.unmark("a")
    assert "a" in doomed
    doomed.unmark("a")
    assert "a" not in doomed
    assert len(doomed) == 0


def test_a_mark_stays_until_the_last_child_is_judged() -> None:
    doomed = Doomed()
    doomed.child_begins("a")
    doomed.child_begins("a")
    doomed.mark("a")
    doomed.unmark("a")
    assert "a" in doomed
    doomed.child_done("a")
    assert "a" in doomed
    doomed.child_done("a")
    assert "a" not in doomed


def test_making_children_alone_marks_nobody() -> None:
    doomed = Doomed()
    doomed.child_begins("a")
    assert "a" not in doomed
    doomed.mark("a")
    doomed.child_done("a")
    assert "a" in doomed
