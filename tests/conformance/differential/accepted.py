"""Which differences between the engine and OpenBao are accepted, read from ``accepted.toml``.

Invariants: a rule never makes a refusal by rights (403) equal to anything else; a rule that no
request needs any more fails the test.
"""

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from tests.conformance.differential.sides import Answer, Call

MOST = 25
FORBIDDEN = 403
RIGHTS = {"acl", "auth", "capabilities", "data", "errors", "identity_policies", "num_uses"}
RIGHTS |= {"orphan", "policies", "renewable", "root", "token_policies", "token_type"}
"""Fields that say who may do what, or are the answer itself; no rule drops them."""


class Accepted:
    """The rules and how often each was needed."""

    def __init__(self, rules: list[dict[str, Any]]) -> None:
        self.rules = rules
        self.used: Counter[str] = Counter()

    @classmethod
    def read(cls) -> "Accepted":
        """From the file. Raises OSError, ValueError."""
        text = (Path(__file__).parent / "accepted.toml").read_text()
        return cls(tomllib.loads(text)["difference"])

    def allows(self, call: Call, ours: Answer, theirs: Answer) -> bool:
        """The answers are equal, or differ only by what is accepted."""
        if ours == theirs:
            return True
        if (ours[0] == FORBIDDEN) != (theirs[0] == FORBIDDEN):
            return False
        needed = []
        for rule in self.rules:
            if not _is_meant(rule, call):
                continue
            before = ours, theirs
            ours, theirs = _applied(rule, ours), _applied(rule, theirs)
            if _is_whole(rule, ours, theirs):
                ours = theirs
            if (ours, theirs) != before:
                needed.append(rule["name"])
            if ours == theirs:
                self.used.update(needed)
                return True
        return False

    @property
    def unused(self) -> set[str]:
        """Rules, for scripted requests too, that nothing needed."""
        names = {rule["name"] for rule in self.rules if not rule.get("generated")}
        return names - set(self.used)


def _is_meant(rule: dict[str, Any], call: Call) -> bool:
    if rule.get("generated") and not call.generated:
        return False
    return re.search(rule.get("requests", ""), call.name) is not None


def _applied(rule: dict[str, Any], answer: Answer) -> Answer:
    status, body = answer
    if "fields" in rule:
        body = _without(body, frozenset(rule["fields"]))
    if "false_or_absent" in rule:
        body = _without_false(body, frozenset(rule["false_or_absent"]))
    if "null_or_empty" in rule:
        body = _without_empty(body, frozenset(rule["null_or_empty"]))
    for pattern, stand_in in rule.get("texts", []):
        body = _replaced(body, re.compile(pattern), stand_in)
    return status, body


def _is_whole(rule: dict[str, Any], ours: Answer, theirs: Answer) -> bool:
    return "statuses" in rule and [ours[0], theirs[0]] in rule["statuses"]


def _without(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(inner, names) for key, inner in value.items() if key not in names}
    return [_without(inner, names) for inner in value] if isinstance(value, list) else value


def _without_false(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_false(inner, names)
            for key, inner in value.items()
            if key not in names or inner is not False
        }
    return [_without_false(inner, names) for inner in value] if isinstance(value, list) else value


def _without_empty(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {
            key: None if key in names and inner in ({}, []) else _without_empty(inner, names)
            for key, inner in value.items()
        }
    return [_without_empty(inner, names) for inner in value] if isinstance(value, list) else value


def _replaced(value: Any, pattern: "re.Pattern[str]", stand_in: str) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, pattern, stand_in) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, pattern, stand_in) for inner in value]
    return pattern.sub(stand_in, value) if isinstance(value, str) else value
