"""What of an answer of goszakup is believed: a page as a whole, or nothing of it."""

from typing import Any

import pytest

from launcher.goszakup import record
from tests.services.etl.conftest import NOW
from zakupai_etl.entities import BY_NAME, PAGE_SIZE
from zakupai_etl.runs.pages import Page, read_page

TRD_BUY = BY_NAME["trd_buy"]


def read(records: Any, after: int = 0, **info: Any) -> Page:
    """``info``: of ``pageInfo``; None leaves a word out."""
    told = {"hasNextPage": False, "lastId": 0, "totalCount": 9, **info}
    told = {name: value for name, value in told.items() if value is not None}
    answer = {"data": {"TrdBuy": records}, "extensions": {"pageInfo": told}}
    return read_page(TRD_BUY, after, answer)


def some(*keys: int) -> list[Any]:
    return [record("TrdBuy", key, NOW) for key in keys]


def test_a_page_says_where_the_next_one_begins() -> None:
    page = read(some(10, 20), hasNextPage=True, lastId="25")
    assert (list(page.records), page.cursor, page.last, page.expected) == ([10, 20], 25, False, 9)
    page = read(some(40), after=30)
    assert (list(page.records), page.cursor, page.last) == ([40], 40, True)
    assert read([], after=30).cursor == 30


@pytest.mark.parametrize(
    ("records", "info", "reason"),
    [
        (some(10, 20), {"hasNextPage": True, "lastId": 15}, "go forward"),
        (some(10), {"hasNextPage": True, "lastId": 0}, "go forward"),
        (some(10), {"hasNextPage": True, "lastId": None}, "go forward"),
        (some(10), {"hasNextPage": True, "lastId": "10x"}, "go forward"),
        (some(10), {"hasNextPage": True, "lastId": True}, "go forward"),
        (some(10), {"hasNextPage": None}, "what comes after"),
        (some(10), {"hasNextPage": 1}, "what comes after"),
        ([], {"hasNextPage": True, "lastId": 10}, "what comes after"),
        (some(*range(1, PAGE_SIZE + 2)), {}, "more records"),
        (None, {}, "no list"),
        ({}, {}, "no list"),
    ],
)
def test_a_page_that_leads_nowhere_or_holds_too_much_is_none(
    records: Any, info: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        read(records, **info)


def test_a_record_of_an_earlier_page_makes_it_none() -> None:
    with pytest.raises(ValueError, match="earlier page"):
        read(some(30, 40), after=30)


def test_a_full_page_is_one() -> None:
    assert len(read(some(*range(1, PAGE_SIZE + 1))).records) == PAGE_SIZE


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"data": None},
        {"data": {"TrdBuy": []}},
        {"data": {"TrdBuy": []}, "extensions": {}},
        {"data": {"TrdBuy": []}, "extensions": {"pageInfo": {"hasNextPage": False}}, "errors": [1]},
    ],
)
def test_an_answer_without_all_its_parts_or_with_errors_is_none(answer: Any) -> None:
    with pytest.raises(ValueError):
        read_page(TRD_BUY, 0, answer)
