"""The decision: may this token do this on that path?

What lives here: rules of all policies of a token compiled for look-up. What never does: text,
storage, a clock. Source: ``docs/formats/policies.md``.
Invariant: the answer depends on the rules alone, never on the order they came in; no rule, no
right.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from zvault.base.gotime import NEVER_NS
from zvault.engine.api import Operation
from zvault.engine.audit.auth_view import REFUSED, AuthView
from zvault.engine.policy.model import CAPABILITY_NAMES, Capability, Policy, Rule, merge

_MEMO_LIMIT = 16_384
_MEMO_PATH_LENGTH = 512
_OPERATION_BITS = {
    Operation.CREATE: Capability.CREATE.value,
    Operation.READ: Capability.READ.value,
    Operation.UPDATE: Capability.UPDATE.value,
    Operation.PATCH: Capability.PATCH.value,
    Operation.DELETE: Capability.DELETE.value,
    Operation.LIST: Capability.LIST.value,
}
_WITH_PARAMETERS = {Operation.READ, Operation.CREATE, Operation.UPDATE, Operation.PATCH}
_SUDO = Capability.SUDO.value
_LISTS = Capability.LIST | Capability.SCAN


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one question, and for the record the policies that gave it."""

    allowed: bool
    sudo: bool = False
    """The token holds sudo on the path."""
    view: AuthView = REFUSED
    """The same for the audit record, made once."""


_DENIED = Decision(allowed=False)
_ROOT = Decision(allowed=True, sudo=True, view=AuthView(True, ("root",)))
_HELP = Decision(allowed=True, view=AuthView(True))


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A rule with ``+`` segments, split once."""

    rule: Rule
    segments: tuple[str, ...]
    is_prefix: bool
    rank: tuple[int, bool, int, int, str]

    def matches(self, parts: Sequence[str]) -> bool:
        if len(parts) < len(self.segments):
            return False
        if not self.is_prefix and len(parts) != len(self.segments):
            return False
        last = len(self.segments) - 1
        for index, segment in enumerate(self.segments):
            if segment == "+" or segment == parts[index]:
                continue
            if not (self.is_prefix and index == last and parts[index].startswith(segment)):
                return False
        return True


def _rank(path: str) -> tuple[int, bool, int, int, str]:
    """Larger wins: later first wildcard, no ``*``, fewer ``+``, longer, lexicographically later."""
    bare = path.removesuffix("*")
    # Vault looks for the first "+" of the text, also when it is a letter of an earlier segment.
    plus = bare.find("+") if "+" in bare.split("/") else -1
    first = plus if plus >= 0 else len(bare)
    return first, not path.endswith("*"), -bare.split("/").count("+"), len(bare), bare


Answer = tuple[Decision, Rule | None]
"""What the path alone decides, and the rule when it has conditions on the rest."""


class Memo:
    """Answers given lately, of all ACLs that share it: their number is bounded in common."""

    __slots__ = ("answers", "limit")

    def __init__(self, limit: int = _MEMO_LIMIT) -> None:
        self.limit = limit
        self.answers: dict[tuple[Acl, str, Operation], Answer] = {}

    def put(self, acl: "Acl", path: str, operation: Operation, answer: Answer) -> None:
        """Remember; a full memo forgets everything, for what is asked often comes back at once."""
        if len(path) > _MEMO_PATH_LENGTH:
            return
        if len(self.answers) >= self.limit:
            self.answers.clear()
        self.answers[acl, path, operation] = answer


class Acl:
    """Compiled rules. ``is_root`` allows everything."""

    def __init__(
        self,
        policies: Iterable[Policy],
        *,
        is_root: bool = False,
        memo: Memo | None = None,
        until_ns: int = NEVER_NS,
    ) -> None:
        self.is_root = is_root
        self.until_ns = until_ns
        """From then on some of the rules have expired, and another ACL counts."""
        rules: dict[str, Rule] = {}
        self._origins: dict[str, list[tuple[str, int]]] = {}
        for policy in policies:
            for rule in policy.rules:
                known = rules.get(rule.path)
                rules[rule.path] = rule if known is None else merge(known, rule)
                origin = (policy.name, rule.capabilities)
                self._origins.setdefault(rule.path, []).append(origin)
        self._exact: dict[str, Rule] = {}
        self._prefixes: dict[str, Rule] = {}
        self._patterns: list[_Pattern] = []
        for path, rule in rules.items():
            if rule.is_never_listed:
                rule = replace(rule, capabilities=rule.capabilities & ~_LISTS)
            if rule.has_segment_wildcards:
                bare = path.removesuffix("*")
                segments = tuple(bare.split("/"))
                self._patterns.append(_Pattern(rule, segments, rule.is_prefix, _rank(path)))
            elif rule.is_prefix:
                self._prefixes[path[:-1]] = rule
            else:
                self._exact[path] = rule
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)
        self._memo = memo or Memo()
        self._answers: dict[tuple[str, Operation], Answer] = {}
        """One a rule and operation, so that all paths of a rule share it."""

    def decide(
        self,
        operation: Operation,
        path: str,
        data: Mapping[str, Any],
        wrap_ttl_ns: int = 0,
    ) -> Decision:
        """The answer for one request; the path of a LIST ends in ``/``."""
        if self.is_root:
            return _ROOT
        found = self._memo.answers.get((self, path, operation))
        if found is None:
            found = self._decide_path(operation, path)
            self._memo.put(self, path, operation, found)
        decision, conditional = found
        if conditional is None:
            return decision
        if not _wrapping_fits(conditional, wrap_ttl_ns):
            return _DENIED
        if operation in _WITH_PARAMETERS and not _parameters_fit(conditional, data):
            return _DENIED
        return decision

    def _decide_path(self, operation: Operation, path: str) -> Answer:
        if operation is Operation.HELP:
            return _HELP, None
        rule = self.rule_for(path, is_list=operation is Operation.LIST)
        bit = _OPERATION_BITS[operation]
        if rule is None or rule.denies or not rule.capabilities & bit:
            return _DENIED, None
        answer = self._answers.get((rule.path, operation))
        if answer is None:
            answer = self._answers[rule.path, operation] = self._grant(rule, bit)
        return answer

    def _grant(self, rule: Rule, bit: int) -> Answer:
        names = tuple(sorted({name for name, own in self._origins[rule.path] if own & bit}))
        sudo = bool(rule.capabilities & _SUDO)
        decision = Decision(allowed=True, sudo=sudo, view=AuthView(True, names))
        return decision, rule if rule.is_conditional else None

    def rule_for(self, path: str, *, is_list: bool = False) -> Rule | None:
        """The one rule that speaks about ``path``; for LIST the path carries its slash."""
        rule = self._exact.get(path)
        if not is_list or not path.endswith("/"):
            return rule or self._wild_rule_for(path)
        bare = path[:-1]
        return (
            rule or self._exact.get(bare) or self._wild_rule_for(path) or self._wild_rule_for(bare)
        )

    def _wild_rule_for(self, path: str) -> Rule | None:
        prefix = self._longest_prefix(path)
        if not self._patterns:
            return prefix
        parts = path.split("/")
        candidates = [(p.rank, p.rule) for p in self._patterns if p.matches(parts)]
        if prefix is not None:
            candidates.append((_rank(prefix.path), prefix))
        return max(candidates, key=lambda item: item[0])[1] if candidates else None

    def _longest_prefix(self, path: str) -> Rule | None:
        for length in self._lengths:
            if length <= len(path):
                rule = self._prefixes.get(path[:length])
                if rule is not None:
                    return rule
        return None

    def capabilities(self, path: str) -> list[str]:
        """Names of the rights on ``path``, sorted; ``["root"]`` or ``["deny"]`` alone."""
        if self.is_root:
            return ["root"]
        rule = self.rule_for(path, is_list=True)
        if rule is None or rule.denies or not rule.capabilities:
            return ["deny"]
        return sorted(name for name, bit in CAPABILITY_NAMES.items() if rule.capabilities & bit)

    def reaches(self, prefix: str) -> bool:
        """Some right on some path at or below ``prefix`` (which ends in ``/``)."""
        if self.is_root:
            return True
        whole = self._longest_prefix(prefix)
        if whole is not None and _grants(whole):
            return True
        for table in (self._exact, self._prefixes):
            for path, rule in table.items():
                if path.startswith(prefix) and _grants(rule):
                    return True
        wanted = prefix.rstrip("/").split("/")
        return any(_may_lie_below(p, wanted) and _grants(p.rule) for p in self._patterns)

    def describe(self) -> dict[str, Any]:
        """Exact and glob paths with their capabilities, as ``resultant-acl`` shows them."""
        exact = {path: _described(rule) for path, rule in self._exact.items()}
        globs = {path: _described(rule) for path, rule in self._prefixes.items()}
        globs |= {p.rule.path: _described(p.rule) for p in self._patterns}
        return {"root": self.is_root, "exact_paths": exact, "glob_paths": globs}


def _described(rule: Rule) -> dict[str, Any]:
    if rule.denies or not rule.capabilities:
        return {"capabilities": ["deny"]}
    names = sorted(name for name, bit in CAPABILITY_NAMES.items() if rule.capabilities & bit)
    return {"capabilities": names}


def _grants(rule: Rule) -> bool:
    return bool(rule.capabilities) and not rule.denies


def _may_lie_below(pattern: _Pattern, wanted: Sequence[str]) -> bool:
    """The pattern's leading segments agree with the segments of a mount's prefix."""
    last = len(pattern.segments) - 1
    for index, part in enumerate(wanted):
        if index > last:
            return pattern.is_prefix
        segment = pattern.segments[index]
        if segment == "+" or segment == part:
            continue
        return pattern.is_prefix and index == last and part.startswith(segment)
    return True


def _wrapping_fits(rule: Rule, wrap_ttl_ns: int) -> bool:
    lowest, highest = rule.min_wrapping_ttl_ns, rule.max_wrapping_ttl_ns
    if not lowest and not highest:
        return True
    if lowest and highest and highest < lowest:
        return False
    if not wrap_ttl_ns:
        return False
    return wrap_ttl_ns >= lowest and (not highest or wrap_ttl_ns <= highest)


def _parameters_fit(rule: Rule, data: Mapping[str, Any]) -> bool:
    if any(name not in data for name in rule.required):
        return False
    if not data:
        return True
    if rule.denied and _any_denied(rule.denied, data):
        return False
    return not rule.allowed or _all_allowed(rule.allowed, data)


def _any_denied(denied: Mapping[str, Sequence[Any]], data: Mapping[str, Any]) -> bool:
    if "*" in denied:
        return True
    for name, value in data.items():
        values = denied.get(name.lower())
        if values is not None and _listed(value, values):
            return True
    return False


def _all_allowed(allowed: Mapping[str, Sequence[Any]], data: Mapping[str, Any]) -> bool:
    any_name = "*" in allowed
    if any_name and len(allowed) == 1:
        return True
    for name, value in data.items():
        values = allowed.get(name.lower())
        if values is None:
            if not any_name:
                return False
        elif not _listed(value, values):
            return False
    return True


def _listed(value: Any, values: Sequence[Any]) -> bool:
    if not values:
        return True
    return any(_same(value, item) for item in values)


def _same(value: Any, pattern: Any) -> bool:
    if isinstance(value, str) and isinstance(pattern, str):
        is_alone = pattern == "*"  # Vault wants two characters of a wildcard's text
        return value == pattern if is_alone else glob_matches(pattern, value)
    return _equal(value, pattern)


def _equal(value: Any, wanted: Any) -> bool:
    """Equal in Go's eyes. A number of a request is a text of digits there, one of a policy is a
    number: these two are never equal, at any depth."""
    if isinstance(value, dict) and isinstance(wanted, dict):
        return value.keys() == wanted.keys() and all(_equal(value[k], wanted[k]) for k in value)
    if isinstance(value, list) and isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(_equal, value, wanted))
    if isinstance(value, bool | str):
        return type(value) is type(wanted) and bool(value == wanted)
    return value is None and wanted is None


def glob_matches(pattern: str, text: str) -> bool:
    """``*`` at the beginning and at the end of ``pattern`` stands for anything."""
    starts, ends = pattern.startswith("*"), pattern.endswith("*")
    if pattern == "*":
        return True
    if starts and ends:
        return pattern[1:-1] in text
    if starts:
        return text.endswith(pattern[1:])
    if ends:
        return text.startswith(pattern[:-1])
    return pattern == text
