"""The table is read whole or not at all: a word that nobody reads would be a limit nobody keeps."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from zakupai_gateway.table import TableError, load, read, service_names

ADDRESSES = dict.fromkeys(service_names(load()), "http://127.0.0.1:8000")
Change = Callable[[dict[str, Any]], object]


def calc(content: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in content["service"] if one["name"] == "calc")
    return found


def test_the_table_that_comes_along_is_one() -> None:
    table = read(load(), ADDRESSES)
    assert set(table.upstreams) == set(ADDRESSES)
    assert table.absent == frozenset()


def test_a_service_without_an_address_is_absent_and_not_unknown() -> None:
    table = read(load(), {"billing": ADDRESSES["billing"]})
    assert set(table.upstreams) == {"billing"}
    assert table.absent == set(ADDRESSES) - {"billing"}


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(more=1),
        lambda content: content["limits"].update(ips=content["limits"]["ip"]),
        lambda content: content["login"].update(attempts=3),
        lambda content: content["refresh"].update(user=content["limits"]["user"]),
        lambda content: calc(content).update(body_limit=1),
        lambda content: calc(content).update(redis_away="maybe"),
        lambda content: calc(content).update(answer_seconds=0),
        lambda content: calc(content).update(body_limit_bytes=True),
        lambda content: calc(content).update(prefix="calc"),
        lambda content: calc(content).update(public=["/health"]),
        lambda content: calc(content).pop("limit"),
        lambda content: calc(content).update(limit={"requests": 1}),
        lambda content: calc(content).update(limit={"requests": 0, "seconds": 1}),
        lambda content: content["limits"].pop("lookup"),
        lambda content: content.pop("login"),
        lambda content: content["service"].append(copy.deepcopy(calc(content))),
    ],
)
def test_a_table_with_a_word_too_many_or_too_few_is_none(change: Change) -> None:
    content = copy.deepcopy(load())
    change(content)
    with pytest.raises(TableError):
        read(content, ADDRESSES)


@pytest.mark.parametrize(
    "address",
    [
        "https://h:1",
        "http://h",
        "http://h:1/x",
        "http://h:1?x",
        "http://u@h:1",
        "h:1",
        "http://h:x",
    ],
)
def test_an_address_is_host_and_port_and_nothing_else(address: str) -> None:
    with pytest.raises(TableError, match="calc"):
        read(load(), {**ADDRESSES, "calc": address})
