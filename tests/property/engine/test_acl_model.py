"""The compiled ACL against a slow model written from the text of the rules.

The model is ``docs/formats/policies.md`` word by word (``tests/support/slow_policy.py``); what is
compared begins with the text of policies, so grammar, merging and decision are all in it.
"""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import slow_policy
from zvault.engine.api import Operation
from zvault.engine.policy.acl import Acl
from zvault.engine.policy.parse import parse_policy

OPERATIONS = [
    Operation.CREATE,
    Operation.READ,
    Operation.UPDATE,
    Operation.DELETE,
    Operation.LIST,
    Operation.PATCH,
]
SECOND_NS = 10**9

segments = st.sampled_from(["a", "b", "ab", "+", "", "a+", "*"])
bodies = st.lists(segments, min_size=0, max_size=4).map("/".join)
patterns = (
    st.tuples(st.sampled_from(["", "", "/"]), bodies, st.sampled_from(["", "*"]))
    .map("".join)
    .filter(lambda text: "+*" not in text)
)
capabilities = st.lists(
    st.sampled_from(["create", "read", "update", "delete", "list", "patch", "sudo"]), max_size=5
).flatmap(lambda some: st.sampled_from([some] * 6 + [[*some, "deny"]]))
values = st.one_of(
    st.sampled_from(["", "*", "**", "x", "xy", "x*", "*y", "*x*", "1", 1, 0, 1.5, True, False]),
    st.sampled_from([["x"], ["x*"], [1], {"k": "x"}, {"k": 1}]),
)
names = st.sampled_from(["p", "P", "q", "*"])
lists = st.dictionaries(names, st.lists(values, max_size=2), max_size=2).filter(
    lambda found: len({name.lower() for name in found}) == len(found)
)
seconds = st.sampled_from([0, 5, 60, 61])
stanzas = st.fixed_dictionaries(
    {"path": patterns},
    optional={
        "capabilities": capabilities,
        "policy": st.sampled_from(["read", "write", "write", "sudo", "deny"]),
        "allowed": lists,
        "denied": lists,
        "required": st.lists(st.sampled_from(["p", "Q"]), max_size=2),
        "min": st.sampled_from([0, 5]),
        "max": st.sampled_from([0, 60, 5]),
    },
)
policies = st.lists(st.lists(stanzas, max_size=4), max_size=3)
words = st.sampled_from(["a", "b", "ab", "a+", "+", ""])
paths = st.lists(words, min_size=1, max_size=5).map("/".join)
requests = st.dictionaries(st.sampled_from(["p", "P", "q", "r"]), values | st.none(), max_size=2)
open_stanza = st.builds(
    lambda path, more: {"path": path, "policy": "sudo", **more},
    st.sampled_from(["a", "a/*", "+", "a/+"]),
    st.fixed_dictionaries(
        {}, optional={"allowed": lists, "denied": lists, "min": seconds, "max": st.just(61)}
    ),
)
generous = st.lists(st.lists(open_stanza, max_size=2), min_size=1, max_size=3)
Policies = list[list[dict[str, Any]]]


def compiled(policy_list: Policies, *, as_json: bool = False) -> Acl:
    write = slow_policy.as_json if as_json else slow_policy.hcl
    return Acl([parse_policy(f"p{n}", write(policy)) for n, policy in enumerate(policy_list)])


def check(
    subject: Acl, policy_list: Policies, op: Operation, path: str, data: Any, wrap: int
) -> None:
    decision = subject.decide(op, path, data, wrap * SECOND_NS)
    expected = slow_policy.decide(policy_list, str(op), path, data, wrap)
    assert (decision.allowed, decision.allowed and decision.sudo) == expected
    assert subject.decide(op, path, data, wrap * SECOND_NS) == decision, "the second answer"


@settings(deadline=None, max_examples=250)
@given(policies, paths, st.sampled_from(OPERATIONS), requests, seconds, st.booleans())
def test_the_compiled_acl_decides_as_the_text_says(
    policy_list: Policies, path: str, op: Operation, data: Any, wrap: int, as_json: bool
) -> None:
    asked = path if op is not Operation.LIST or path.endswith("/") else path + "/"
    check(compiled(policy_list, as_json=as_json), policy_list, op, asked, data, wrap)


@pytest.mark.soak
@pytest.mark.timeout(900)
@settings(deadline=None, max_examples=10_000)
@given(policies, paths, st.sampled_from(OPERATIONS), requests, seconds)
def test_many_policies_are_judged_as_the_text_says(
    policy_list: Policies, path: str, op: Operation, data: Any, wrap: int
) -> None:
    asked = path if op is not Operation.LIST or path.endswith("/") else path + "/"
    check(compiled(policy_list), policy_list, op, asked, data, wrap)


@settings(deadline=None, max_examples=250)
@given(generous, st.sampled_from(["a", "a/b", "a/"]), requests, seconds)
def test_parameters_and_wrapping_are_judged_as_the_text_says(
    policy_list: Policies, path: str, data: Any, wrap: int
) -> None:
    subject = compiled(policy_list)
    for op in OPERATIONS:
        asked = path if op is not Operation.LIST or path.endswith("/") else path + "/"
        check(subject, policy_list, op, asked, data, wrap)


def test_every_pair_of_parameter_lists_is_merged_and_judged_as_the_text_says() -> None:
    some: list[list[Any] | None] = [None, [], [1], ["x"], ["*"], [True]]
    halves = [
        {"path": "a", "policy": "write", **({"allowed": {"P": a}} if a is not None else {})}
        | ({"denied": {"p": d}} if d is not None else {})
        for a, d in itertools.product(some, some[:4])
    ]
    for pair in itertools.product(halves, halves):
        subject = compiled([[pair[0]], [pair[1]]])
        for value in (1, True, "x", "y", "*", [1]):
            check(subject, [list(pair)], Operation.UPDATE, "a", {"p": value}, 0)


@settings(deadline=None, max_examples=80)
@given(policies, paths, requests)
def test_the_order_of_policies_and_rules_does_not_matter(
    policy_list: Policies, path: str, data: Any
) -> None:
    turned = [list(reversed(policy)) for policy in reversed(policy_list)]
    first, second = compiled(policy_list), compiled(turned)
    for op in OPERATIONS:
        mine, other = first.decide(op, path, data), second.decide(op, path, data)
        assert (mine.allowed, mine.sudo) == (other.allowed, other.sudo)


@settings(deadline=None, max_examples=80)
@given(policies, paths)
def test_the_capabilities_shown_are_those_that_decide(policy_list: Policies, path: str) -> None:
    bare = [
        [{k: v for k, v in s.items() if k in ("path", "capabilities", "policy")} for s in policy]
        for policy in policy_list
    ]
    shown = compiled(bare).capabilities(path)
    text = slow_policy.chosen_text(
        [s["path"].removeprefix("/") for policy in bare for s in policy], path, "list"
    )
    speaking = [s for policy in bare for s in policy if s["path"].removeprefix("/") == text]
    granted = set().union(*map(slow_policy.rights, speaking)) if speaking else set()
    assert shown == (["deny"] if "deny" in granted or not granted else sorted(granted))
