"""What the registry says about a supplier.

What lives here: the states, the words that mean them, and reading the registry's JSON; pure. What
never does: I/O.
Invariants: a word that nobody mapped and a supplier that the registry does not know are UNKNOWN,
never ACTIVE; an answer about somebody else is no answer.
"""

import datetime
from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """A supplier's state."""

    ACTIVE = "ACTIVE"
    BLOCKED = "BLOCKED"
    SUSPENDED = "SUSPENDED"
    LIQUIDATED = "LIQUIDATED"
    BLACKLISTED = "BLACKLISTED"
    UNKNOWN = "UNKNOWN"

    @property
    def blocked(self) -> bool | None:
        """Whether nobody should sign with it; None when that is not known."""
        return None if self is State.UNKNOWN else self is not State.ACTIVE


_WORDS: Mapping[State, str] = {
    State.ACTIVE: "active|valid|registered|активен|активный|действует|действующий|зарегистрирован",
    State.BLOCKED: "blocked|banned|заблокирован|заблокированный|блокирован",
    State.SUSPENDED: "suspended|inactive|приостановлен|приостановлена деятельность|неактивен",
    State.LIQUIDATED: "liquidated|closed|terminated|ликвидирован|ликвидация|закрыт|прекращен",
    State.BLACKLISTED: "blacklisted|blacklist|unreliable|unscrupulous|недобросовестный"
    "|недобросовестный поставщик|в черном списке|черный список|в реестре недобросовестных"
    "|включен в рну",
}
_STATE_OF = {word: state for state, words in _WORDS.items() for word in words.split("|")}


def state_of(word: str) -> State:
    """The state that a Russian or English word means, however it is written."""
    plain = " ".join(word.casefold().replace("ё", "е").replace("_", " ").replace("-", " ").split())
    return _STATE_OF.get(plain, State.UNKNOWN)


def read_answer(number: str, content: Any, today: datetime.date) -> State:
    """The state of the supplier with this BIN in the registry's answer.

    The answer is one record, or a page with ``items``. A record with a ``status`` says it in a
    word; one without (goszakup's own RNU record) is an entry in the list of unscrupulous suppliers,
    in force until its ``end_date``. Of several records the worst counts. Raises ValueError when the
    answer is neither, or about somebody else.
    """
    if isinstance(content, dict) and isinstance(content.get("items"), list):
        records = content["items"]
    else:
        records = [content]
    states = {_state_of_record(number, record, today) for record in records}
    return next((state for state in _WORST_FIRST if state in states), State.UNKNOWN)


_WORST_FIRST = (
    State.BLACKLISTED,
    State.BLOCKED,
    State.LIQUIDATED,
    State.SUSPENDED,
    State.UNKNOWN,
    State.ACTIVE,
)


def _state_of_record(number: str, record: Any, today: datetime.date) -> State:
    if not isinstance(record, dict):
        raise ValueError("a record is no object")
    about = record.get("supplier_biin", record.get("bin"))
    if about is not None and str(about).rjust(12, "0") != number:
        raise ValueError("a record is about somebody else")
    word = record.get("status")
    if isinstance(word, str):
        return state_of(word)
    if word is not None or about is None:
        raise ValueError("a record names neither a status nor a supplier")
    end = record.get("end_date")
    if end is None or end == "":
        return State.BLACKLISTED
    if not isinstance(end, str):
        raise ValueError("a record's end_date is no date")
    return State.BLACKLISTED if datetime.date.fromisoformat(end[:10]) >= today else State.UNKNOWN
