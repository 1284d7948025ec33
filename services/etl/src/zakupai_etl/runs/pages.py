"""One page of goszakup's GraphQL.

What lives here: the request for it, and what of the answer is believed. What never does: storing.
Invariant: a page is believed whole or not at all: one that does not go forward, or that says
nothing about what comes after it, is garbage, so no run goes round in a circle.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zakupai_common.goszakup import Goszakup
from zakupai_etl.entities import PAGE_SIZE, Entity, RefusedError, key_of, read_record
from zakupai_etl.runs.plan import Window

_log = logging.getLogger("zakupai.etl.pages")
PATH = "/v3/graphql"
_RECORD_CHARACTERS = 4000


@dataclass(frozen=True)
class Refusal:
    """A record that is not stored, and why."""

    record_id: str | None
    reason: str
    record: str


@dataclass(frozen=True)
class Page:
    """Records with keys above ``after``; ``cursor`` is what the next page begins after."""

    after: int
    cursor: int
    last: bool
    expected: int | None
    """How many there are in all, as goszakup says on the way."""
    records: Mapping[int, Mapping[str, Any]]
    """By key: the values of its columns."""
    refusals: tuple[Refusal, ...]


async def fetch_page(goszakup: Goszakup, entity: Entity, after: int, window: Window) -> Page:
    """The page after this key. Raises GoszakupError."""
    variables = entity.variables(after, window.since, window.until)
    asked = {"query": entity.query, "variables": variables}
    answer = await goszakup.post(entity.name, PATH, asked)
    try:
        return read_page(entity, after, answer)
    except ValueError as error:
        _log.warning("a page of %s is not understood: %s", entity.name, error)
        raise goszakup.not_understood(entity.name) from None


def read_page(entity: Entity, after: int, answer: Any) -> Page:
    """Raises ValueError when the answer is no page after this key."""
    if not isinstance(answer, dict):
        raise ValueError("it is no object")
    if answer.get("errors"):
        raise ValueError(f"errors: {str(answer['errors'])[:500]}")
    found = _inside(answer, "data").get(entity.root)
    if not isinstance(found, list):
        raise ValueError("it has no list of records")
    if len(found) > PAGE_SIZE:  # PostgreSQL takes 65,535 values a statement, five times this
        raise ValueError("it holds more records than were asked for")
    info = _inside(_inside(answer, "extensions"), "pageInfo")
    more = info.get("hasNextPage")
    if not isinstance(more, bool) or (more and not found):
        raise ValueError("it does not say what comes after it")
    records, refusals = _sort(entity, after, found)
    cursor = max(records, default=after)
    if more:
        told = _whole(info.get("lastId"))
        if told is None or told <= after or told < cursor:
            raise ValueError("it does not go forward")
        cursor = told
    expected = _whole(info.get("totalCount"))
    return Page(after, cursor, not more, expected, records, tuple(refusals))


def _sort(
    entity: Entity, after: int, found: list[Any]
) -> tuple[dict[int, Mapping[str, Any]], list[Refusal]]:
    """The records by key, and those that are refused. Raises ValueError."""
    records: dict[int, Mapping[str, Any]] = {}
    refusals = []
    seen: set[int] = set()
    for record in found:
        key = None
        try:
            key = key_of(entity, record)
            if key <= after:
                raise ValueError("it holds a record of an earlier page")
            if key in seen:
                raise RefusedError(f"{entity.key}: comes twice in one page")
            seen.add(key)
            records[key] = read_record(entity, record)
        except RefusedError as error:
            refusals.append(refuse(key, str(error), record))
    return records, refusals


def refuse(key: int | None, reason: str, record: Any) -> Refusal:
    """The refusal of a record, in a form that PostgreSQL can keep."""
    shown = str(record)[:_RECORD_CHARACTERS].replace("\x00", "\ufffd")
    shown = shown.encode("utf-8", "replace").decode()
    return Refusal(None if key is None else str(key), reason, shown)


def _inside(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inside = found.get(name)
    if not isinstance(inside, dict):
        raise ValueError(f"it has no {name}")
    return inside


def _whole(found: Any) -> int | None:
    if isinstance(found, bool) or not isinstance(found, int | str):
        return None
    text = str(found)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
