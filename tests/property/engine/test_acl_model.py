"""The compiled ACL against a slow model written from the text of the rules.

The model is ``docs/formats/policies.md`` word by word: no tables, no memo, one loop a sentence.
"""

from functools import cmp_to_key

from hypothesis import given, settings
from hypothesis import strategies as st

from zvault.engine.api import Operation
from zvault.engine.policy.acl import Acl
from zvault.engine.policy.model import Capability, Policy, Rule

BITS = {
    Operation.CREATE: Capability.CREATE,
    Operation.READ: Capability.READ,
    Operation.UPDATE: Capability.UPDATE,
    Operation.DELETE: Capability.DELETE,
    Operation.LIST: Capability.LIST,
    Operation.PATCH: Capability.PATCH,
}

segments = st.sampled_from(["a", "b", "ab", "+", ""])
bodies = st.lists(segments, min_size=0, max_size=4).map("/".join)
patterns = (
    st.tuples(bodies, st.sampled_from(["", "*"])).map("".join).filter(lambda text: "+*" not in text)
)
capabilities = st.lists(
    st.sampled_from([*BITS.values(), Capability.SUDO, Capability.DENY]), max_size=3
).map(lambda bits: sum(set(bits)))
rules = st.builds(Rule, patterns, capabilities)
policies = st.lists(
    st.builds(Policy, st.sampled_from("xyz"), st.lists(rules, max_size=5).map(tuple)), max_size=4
)
words = st.sampled_from(["a", "b", "ab", "c", ""])
paths = st.lists(words, min_size=1, max_size=5).map("/".join)


def model_matches(pattern: str, path: str) -> bool:
    is_glob = pattern.endswith("*")
    wanted = pattern.removesuffix("*").split("/")
    given_parts = path.split("/")
    if "+" not in wanted:
        return path.startswith(pattern[:-1]) if is_glob else path == pattern
    if is_glob and len(given_parts) < len(wanted):
        return False
    if not is_glob and len(given_parts) != len(wanted):
        return False
    for number, want in enumerate(wanted):
        have = given_parts[number]
        is_last = number == len(wanted) - 1
        if want == "+":
            continue
        if is_glob and is_last and have.startswith(want):
            continue
        if want != have:
            return False
    return True


def first_wildcard(pattern: str) -> int:
    text, place = pattern.removesuffix("*"), 0
    for segment in text.split("/"):
        if segment == "+":
            return place
        place += len(segment) + 1
    return len(text)


def plus_count(pattern: str) -> int:
    return pattern.removesuffix("*").split("/").count("+")


def better(first: str, second: str) -> int:
    """Positive when ``first`` is chosen over ``second``."""
    if first_wildcard(first) != first_wildcard(second):
        return first_wildcard(first) - first_wildcard(second)
    if first.endswith("*") != second.endswith("*"):
        return -1 if first.endswith("*") else 1
    if plus_count(first) != plus_count(second):
        return plus_count(second) - plus_count(first)
    one, two = first.removesuffix("*"), second.removesuffix("*")
    if len(one) != len(two):
        return len(one) - len(two)
    return (one > two) - (one < two)


def model_capabilities(policy_list: list[Policy], path: str, *, is_list: bool) -> int:
    by_text: dict[str, list[int]] = {}
    for policy in policy_list:
        for rule in policy.rules:
            by_text.setdefault(rule.path, []).append(rule.capabilities)
    exact = [path, path.removesuffix("/")] if is_list else [path]
    chosen = None
    for candidate in exact:
        has_wildcard = candidate.endswith("*") or "+" in candidate.split("/")
        if candidate in by_text and not has_wildcard:
            chosen = candidate
            break
    if chosen is None:
        wild = [t for t in by_text if t.endswith("*") or "+" in t.split("/")]
        matching = [t for t in wild if model_matches(t, path)]
        plain = [t for t in matching if "+" not in t.removesuffix("*").split("/")]
        longest = max(plain, key=len, default=None)
        candidates = [t for t in matching if t not in plain or t == longest]
        chosen = max(candidates, key=cmp_to_key(better), default=None)
    if chosen is None:
        return 0
    bits = by_text[chosen]
    if any(b & Capability.DENY for b in bits):
        return 0
    total = 0
    for b in bits:
        total |= b
    return total


@settings(deadline=None)
@given(policies, paths, st.sampled_from(list(BITS)))
def test_the_compiled_acl_decides_as_the_text_says(
    policy_list: list[Policy], path: str, operation: Operation
) -> None:
    is_list = operation is Operation.LIST
    asked = path if not is_list or path.endswith("/") else path + "/"
    expected = model_capabilities(policy_list, asked, is_list=is_list)
    decision = Acl(policy_list).decide(operation, asked, {})
    assert decision.allowed is bool(expected & BITS[operation])
    if decision.allowed:
        assert decision.sudo is bool(expected & Capability.SUDO)


@settings(deadline=None)
@given(policies, paths)
def test_the_order_of_policies_and_rules_does_not_matter(
    policy_list: list[Policy], path: str
) -> None:
    turned = [Policy(p.name, tuple(reversed(p.rules))) for p in reversed(policy_list)]
    first, second = Acl(policy_list), Acl(turned)
    for operation in BITS:
        assert first.decide(operation, path, {}) == second.decide(operation, path, {})


@settings(deadline=None)
@given(policies, paths)
def test_the_second_answer_is_the_first(policy_list: list[Policy], path: str) -> None:
    acl = Acl(policy_list)
    for operation in BITS:
        assert acl.decide(operation, path, {}) == acl.decide(operation, path, {})
