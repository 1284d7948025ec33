"""ACL policies decided the slow way: the text of ``docs/formats/policies.md``, a loop a sentence.

What lives here: stanzas as plain dictionaries, their HCL, and the decision about one request. What
never does: anything of ``engine/policy``; no table, no memo, no cleverness.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cmp_to_key
from typing import Any

Stanza = Mapping[str, Any]
"""``path``; optional ``capabilities``, ``policy``, ``allowed``, ``denied``, ``required``, ``min``,
``max`` (seconds)."""
PARAMETER_OPERATIONS = ("read", "create", "update", "patch")
OLD_WORDS = {
    "deny": {"deny"},
    "read": {"read", "list"},
    "write": {"create", "read", "update", "delete", "list"},
    "sudo": {"create", "read", "update", "delete", "list", "sudo"},
}
KEYS = {
    "capabilities": "capabilities",
    "policy": "policy",
    "allowed": "allowed_parameters",
    "denied": "denied_parameters",
    "required": "required_parameters",
    "min": "min_wrapping_ttl",
    "max": "max_wrapping_ttl",
}


def hcl(stanzas: Sequence[Stanza]) -> str:
    """The policy as somebody would write it."""
    return "\n".join(
        f"path {json.dumps(stanza['path'])} {{\n"
        + "".join(f"  {KEYS[k]} = {_value(v)}\n" for k, v in stanza.items() if k != "path")
        + "}"
        for stanza in stanzas
    )


def as_json(stanzas: Sequence[Stanza]) -> str:
    """The same policy as JSON."""
    items = ({s["path"]: {KEYS[k]: v for k, v in s.items() if k != "path"}} for s in stanzas)
    return json.dumps({"path": list(items)})


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + " ".join(f"{json.dumps(k)} = {_value(v)}\n" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


def rights(stanza: Stanza) -> set[str]:
    """The capabilities of one stanza; deny stands alone."""
    found = set(stanza.get("capabilities", ())) | OLD_WORDS.get(stanza.get("policy", ""), set())
    return {"deny"} if "deny" in found else found


def is_wild(path: str) -> bool:
    return path.endswith("*") or "+" in path.split("/")


def matches(pattern: str, path: str) -> bool:
    """A rule with a wildcard speaks about the path."""
    is_glob = pattern.endswith("*")
    wanted = pattern.removesuffix("*").split("/")
    parts = path.split("/")
    if "+" not in wanted:
        return path.startswith(pattern[:-1])
    if len(parts) < len(wanted) or (not is_glob and len(parts) != len(wanted)):
        return False
    for number, want in enumerate(wanted):
        is_last = number == len(wanted) - 1
        if want == "+" or want == parts[number]:
            continue
        if is_glob and is_last and parts[number].startswith(want):
            continue
        return False
    return True


def better(first: str, second: str) -> int:
    """Positive when ``first`` is chosen over ``second``."""

    def first_wildcard(pattern: str) -> int:
        text = pattern.removesuffix("*")
        return text.index("+") if "+" in text.split("/") else len(text)

    def pluses(pattern: str) -> int:
        return pattern.removesuffix("*").split("/").count("+")

    if first_wildcard(first) != first_wildcard(second):
        return first_wildcard(first) - first_wildcard(second)
    if first.endswith("*") != second.endswith("*"):
        return -1 if first.endswith("*") else 1
    if pluses(first) != pluses(second):
        return pluses(second) - pluses(first)
    one, two = first.removesuffix("*"), second.removesuffix("*")
    if len(one) != len(two):
        return len(one) - len(two)
    return (one > two) - (one < two)


def wild_choice(texts: Sequence[str], path: str) -> str | None:
    """Of all rules with a wildcard the one that speaks."""
    matching = [text for text in texts if is_wild(text) and matches(text, path)]
    plain = [t for t in matching if "+" not in t.removesuffix("*").split("/")]
    longest = max(plain, key=len, default=None)
    candidates = [t for t in matching if t not in plain or t == longest]
    return max(candidates, key=cmp_to_key(better), default=None)


def chosen_text(texts: Sequence[str], path: str, operation: str) -> str | None:
    """The path text of the rule that decides."""
    asked = [path]
    if operation == "list" and path.endswith("/"):
        asked.append(path[:-1])
    for text in asked:
        if text in texts and not is_wild(text):
            return text
    for text in asked:
        found = wild_choice(texts, text)
        if found is not None:
            return found
    return None


def glob(pattern: str, text: str) -> bool:
    if len(pattern) < 2:
        return pattern == text
    if pattern[0] == "*" and pattern[-1] == "*":
        return pattern[1:-1] in text
    if pattern[0] == "*":
        return text.endswith(pattern[1:])
    if pattern[-1] == "*":
        return text.startswith(pattern[:-1])
    return pattern == text


def same(value: Any, item: Any) -> bool:
    """A value of a request is one of a policy: strings by glob, truth values, lists of the same;
    never numbers."""
    if isinstance(value, str) and isinstance(item, str):
        return glob(item, value)
    return deep(value) == deep(item) and not has_number(value)


def deep(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def has_number(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_number, value.values()))
    if isinstance(value, list):
        return any(map(has_number, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def listed(value: Any, items: Sequence[Any]) -> bool:
    return not items or any(same(value, item) for item in items)


def united(stanzas: Sequence[Stanza], key: str) -> dict[str, list[Any]]:
    """Parameter lists of rules of one text: an empty list of values means any, and stays."""
    result: dict[str, list[Any]] = {}
    for stanza in stanzas:
        for name, values in stanza.get(key, {}).items():
            name = name.lower()
            if name not in result:
                result[name] = list(values)
            elif not values or not result[name]:
                result[name] = []
            else:
                result[name] += values
    return result


def smallest(stanzas: Sequence[Stanza], key: str) -> int:
    return min((s[key] for s in stanzas if s.get(key, 0) > 0), default=0)


def parameters_fit(stanzas: Sequence[Stanza], data: Mapping[str, Any]) -> bool:
    required = {name.lower() for stanza in stanzas for name in stanza.get("required", ())}
    if any(name not in data for name in required):
        return False
    if not data:
        return True
    denied, allowed = united(stanzas, "denied"), united(stanzas, "allowed")
    if "*" in denied:
        return False
    for name, value in data.items():
        if name.lower() in denied and listed(value, denied[name.lower()]):
            return False
    for name, value in data.items() if allowed else ():
        if name.lower() not in allowed:
            if "*" not in allowed:
                return False
        elif not listed(value, allowed[name.lower()]) and list(allowed) != ["*"]:
            return False
    return True


def decide(
    policies: Sequence[Sequence[Stanza]],
    operation: str,
    path: str,
    data: Mapping[str, Any],
    wrap_seconds: int = 0,
) -> tuple[bool, bool]:
    """Allowed, and with sudo."""
    everything = [
        {**stanza, "path": stanza["path"].removeprefix("/")}
        for policy in policies
        for stanza in policy
    ]
    text = chosen_text([stanza["path"] for stanza in everything], path, operation)
    speaking = [stanza for stanza in everything if stanza["path"] == text]
    granted = set().union(*map(rights, speaking)) if speaking else set()
    if "deny" in granted or operation not in granted:
        return False, False
    lowest, highest = smallest(speaking, "min"), smallest(speaking, "max")
    if lowest and highest and highest < lowest:
        return False, False
    if (lowest or highest) and not wrap_seconds:
        return False, False
    if wrap_seconds < lowest or (highest and wrap_seconds > highest):
        return False, False
    if operation in PARAMETER_OPERATIONS and not parameters_fit(speaking, data):
        return False, False
    return True, "sudo" in granted
