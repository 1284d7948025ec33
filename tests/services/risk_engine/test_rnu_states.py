"""Reading the registry: words, records, and answers that say nothing."""

import contextlib
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zakupai_risk_engine.rnu.states import State, read_answer, state_of

NUMBER = "123456789012"
TODAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("ACTIVE", State.ACTIVE),
        (" Действующий ", State.ACTIVE),
        ("Заблокирован", State.BLOCKED),
        ("приостановлена  деятельность", State.SUSPENDED),
        ("Ликвидирован", State.LIQUIDATED),
        ("В ЧЁРНОМ СПИСКЕ", State.BLACKLISTED),
        ("black-listed", State.UNKNOWN),
        ("недобросовестный_поставщик", State.BLACKLISTED),
        ("прекращён", State.LIQUIDATED),
        ("fine", State.UNKNOWN),
        ("", State.UNKNOWN),
    ],
)
def test_words_in_two_languages_mean_states(word: str, state: State) -> None:
    assert state_of(word) is state


@pytest.mark.parametrize(
    ("state", "blocked"),
    [(State.ACTIVE, False), (State.UNKNOWN, None)]
    + [(one, True) for one in State if one not in (State.ACTIVE, State.UNKNOWN)],
)
def test_four_states_block_and_one_does_not_say(state: State, blocked: bool | None) -> None:
    assert state.blocked is blocked


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"status": "ACTIVE"}, State.ACTIVE),
        ({"bin": NUMBER, "status": "blocked"}, State.BLOCKED),
        ({"supplier_biin": NUMBER, "start_date": "2025-01-01"}, State.BLACKLISTED),
        ({"supplier_biin": NUMBER, "end_date": None}, State.BLACKLISTED),
        ({"supplier_biin": NUMBER, "end_date": "2026-11-22 00:00:00"}, State.BLACKLISTED),
        ({"supplier_biin": NUMBER, "end_date": "2026-11-21"}, State.UNKNOWN),
        ({"supplier_biin": 123456789012}, State.BLACKLISTED),
        ({"items": []}, State.UNKNOWN),
        (
            {"items": [{"supplier_biin": NUMBER, "end_date": "2020-01-01"}, {"status": "active"}]},
            State.UNKNOWN,
        ),
        (
            {"items": [{"status": "active"}, {"supplier_biin": NUMBER}]},
            State.BLACKLISTED,
        ),
    ],
)
def test_a_record_says_its_state_and_of_several_the_worst_counts(answer: Any, state: State) -> None:
    assert read_answer(NUMBER, answer, TODAY) is state


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "ACTIVE",
        {},
        {"status": None},
        {"status": 1},
        {"supplier_biin": "999999999999", "status": "ACTIVE"},
        {"supplier_biin": NUMBER, "end_date": "soon"},
        {"supplier_biin": NUMBER, "end_date": 7},
        {"items": [None]},
    ],
)
def test_an_answer_that_says_nothing_or_is_about_somebody_else_is_none(answer: Any) -> None:
    with pytest.raises(ValueError):
        read_answer(NUMBER, answer, TODAY)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["items", "status", "supplier_biin", "end_date", "bin"]), inner
        )
    ),
)


@given(json)
def test_an_answer_is_read_or_refused_and_never_breaks_the_reader(answer: Any) -> None:
    with contextlib.suppress(ValueError):
        assert read_answer(NUMBER, answer, TODAY) in State
