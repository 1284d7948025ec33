"""Decisions of the ACL, one law a test."""

from typing import Any

import pytest

from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Operation
from zvault.engine.policy.acl import Acl, Memo, glob_matches
from zvault.engine.policy.model import Capability, Policy, Rule
from zvault.engine.policy.parse import parse_policy

READ, LIST, UPDATE = Capability.READ, Capability.LIST, Capability.UPDATE


def acl(*rules: Rule) -> Acl:
    return Acl([Policy("p", rules)])


def allowed(subject: Acl, operation: Operation, path: str, wrap_ns: int = 0, **data: Any) -> bool:
    return subject.decide(operation, path, data, wrap_ns).allowed


def test_no_rule_no_right() -> None:
    assert not allowed(acl(), Operation.READ, "a")


def test_root_may_everything_and_help_is_free() -> None:
    assert Acl([], is_root=True).decide(Operation.DELETE, "x", {}).sudo
    assert allowed(acl(), Operation.HELP, "anything")


def test_the_exact_rule_beats_every_wildcard_even_when_it_grants_less() -> None:
    subject = acl(Rule("a/*", READ | UPDATE), Rule("a/b", READ), Rule("a/+", UPDATE))
    assert allowed(subject, Operation.READ, "a/b")
    assert not allowed(subject, Operation.UPDATE, "a/b")


def test_a_prefix_reaches_below_and_not_the_path_itself() -> None:
    subject = acl(Rule("foo/*", READ))
    assert allowed(subject, Operation.READ, "foo/")
    assert allowed(subject, Operation.READ, "foo/x/y")
    assert not allowed(subject, Operation.READ, "foo")
    assert not allowed(subject, Operation.READ, "foobar")


def test_the_longest_prefix_wins() -> None:
    subject = acl(Rule("*", READ), Rule("a/*", UPDATE), Rule("a/b/*", LIST))
    assert not allowed(subject, Operation.READ, "a/b/c")
    assert allowed(subject, Operation.LIST, "a/b/c/")
    assert allowed(subject, Operation.UPDATE, "a/x")
    assert allowed(subject, Operation.READ, "z")


def test_plus_stands_for_one_segment() -> None:
    subject = acl(Rule("a/+/c", READ))
    assert allowed(subject, Operation.READ, "a/x/c")
    assert not allowed(subject, Operation.READ, "a/x/y/c")
    assert not allowed(subject, Operation.READ, "a/c")


def test_plus_in_a_word_is_a_letter() -> None:
    subject = acl(Rule("a/b+c", READ))
    assert allowed(subject, Operation.READ, "a/b+c")
    assert not allowed(subject, Operation.READ, "a/bxc")


def test_plus_with_star_needs_at_least_its_segments() -> None:
    subject = acl(Rule("a/+/c*", READ))
    assert allowed(subject, Operation.READ, "a/x/c")
    assert allowed(subject, Operation.READ, "a/x/cat/more")
    assert not allowed(subject, Operation.READ, "a/x")


def test_the_later_wildcard_wins() -> None:
    subject = acl(Rule("a/+/c", READ), Rule("a/b/*", UPDATE))
    assert not allowed(subject, Operation.READ, "a/b/c")
    assert allowed(subject, Operation.UPDATE, "a/b/c")


def test_without_star_beats_with_star_at_the_same_place() -> None:
    subject = acl(Rule("a/+/c", READ), Rule("a/+/*", UPDATE))
    assert allowed(subject, Operation.READ, "a/b/c")
    assert not allowed(subject, Operation.UPDATE, "a/b/c")


def test_list_falls_back_to_what_speaks_about_the_path_without_slash() -> None:
    assert allowed(acl(Rule("a/b", LIST)), Operation.LIST, "a/b/")
    assert allowed(acl(Rule("a/+", LIST)), Operation.LIST, "a/b/")
    with_slash = Rule("a/b/*", Capability.DENY)
    assert not allowed(acl(Rule("a/+", LIST), with_slash), Operation.LIST, "a/b/")
    assert not allowed(acl(Rule("a/b", READ)), Operation.READ, "a/b/")


def test_rules_of_the_same_text_add_up_and_deny_clears_all() -> None:
    two = acl(Rule("a", READ), Rule("a", UPDATE))
    assert allowed(two, Operation.READ, "a")
    assert allowed(two, Operation.UPDATE, "a")
    three = acl(Rule("a", READ), Rule("a", Capability.DENY), Rule("a", UPDATE))
    assert three.capabilities("a") == ["deny"]


def test_a_deny_of_another_text_only_counts_where_it_is_chosen() -> None:
    subject = acl(Rule("a/*", Capability.DENY), Rule("a/b", READ))
    assert allowed(subject, Operation.READ, "a/b")
    assert not allowed(subject, Operation.READ, "a/c")


def test_the_deciding_policies_are_named() -> None:
    subject = Acl([Policy("one", (Rule("a", READ),)), Policy("two", (Rule("a", UPDATE),))])
    assert subject.decide(Operation.READ, "a", {}).view.granting_policies == ("one",)


def test_sudo_is_seen_on_the_chosen_rule() -> None:
    subject = acl(Rule("sys/*", READ | Capability.SUDO), Rule("sys/x", READ))
    assert subject.decide(Operation.READ, "sys/y", {}).sudo
    assert not subject.decide(Operation.READ, "sys/x", {}).sudo


def test_required_parameters_must_be_there_even_without_data() -> None:
    subject = acl(Rule("a", UPDATE, required=("name",)))
    assert not allowed(subject, Operation.UPDATE, "a")
    assert allowed(subject, Operation.UPDATE, "a", name=1)


def test_denied_parameters() -> None:
    subject = acl(Rule("a", UPDATE, denied={"x": (), "y": ("bad*", True, 3)}))
    assert allowed(subject, Operation.UPDATE, "a", z=1)
    assert not allowed(subject, Operation.UPDATE, "a", X=1)
    assert not allowed(subject, Operation.UPDATE, "a", y="badly")
    assert not allowed(subject, Operation.UPDATE, "a", y=True)
    assert allowed(subject, Operation.UPDATE, "a", y="good")
    everything = acl(Rule("a", UPDATE, denied={"*": ()}))
    assert allowed(everything, Operation.UPDATE, "a")
    assert not allowed(everything, Operation.UPDATE, "a", q=1)


def test_allowed_parameters() -> None:
    subject = acl(Rule("a", UPDATE, allowed={"x": (), "y": ("1", True)}))
    assert allowed(subject, Operation.UPDATE, "a")
    assert allowed(subject, Operation.UPDATE, "a", X="anything", y=True)
    assert not allowed(subject, Operation.UPDATE, "a", y="3")
    assert not allowed(subject, Operation.UPDATE, "a", z=1)
    open_names = acl(Rule("a", UPDATE, allowed={"*": (), "y": ("1",)}))
    assert allowed(open_names, Operation.UPDATE, "a", z=1)
    assert not allowed(open_names, Operation.UPDATE, "a", y="2")


@pytest.mark.parametrize("operation", [Operation.READ, Operation.CREATE, Operation.PATCH])
def test_parameters_bind_whatever_carries_some(operation: Operation) -> None:
    rights = READ | Capability.CREATE | Capability.PATCH
    assert not allowed(acl(Rule("a", rights, required=("x",))), operation, "a")
    assert not allowed(acl(Rule("a", rights, denied={"y": ()})), operation, "a", y=1)
    subject = acl(Rule("a", rights, allowed={"x": ()}))
    assert not allowed(subject, operation, "a", y=1)
    assert allowed(subject, operation, "a", x=1)


def test_true_is_not_one() -> None:
    subject = acl(Rule("a", UPDATE, allowed={"x": (True,)}))
    assert allowed(subject, Operation.UPDATE, "a", x=True)
    assert not allowed(subject, Operation.UPDATE, "a", x=1)


def test_a_number_of_a_policy_is_no_number_of_a_request() -> None:
    subject = acl(Rule("a", UPDATE, allowed={"x": (1, [1], {"k": 1})}))
    for value in (1, 1.0, "1", [1], {"k": 1}):
        assert not allowed(subject, Operation.UPDATE, "a", x=value)


def test_a_star_alone_is_a_star() -> None:
    subject = acl(Rule("a", UPDATE, allowed={"x": ("*",), "y": ("**",)}))
    assert allowed(subject, Operation.UPDATE, "a", x="*")
    assert not allowed(subject, Operation.UPDATE, "a", x="v")
    assert allowed(subject, Operation.UPDATE, "a", y="v")


def test_parameters_do_not_bind_list_and_delete() -> None:
    subject = acl(Rule("a", LIST | Capability.DELETE, required=("x",)))
    assert allowed(subject, Operation.DELETE, "a")
    assert allowed(subject, Operation.LIST, "a/")


def test_wrapping_bounds_refuse_a_request_that_does_not_wrap() -> None:
    subject = acl(
        Rule("a", READ, min_wrapping_ttl_ns=10 * SECOND_NS, max_wrapping_ttl_ns=60 * SECOND_NS)
    )
    assert not allowed(subject, Operation.READ, "a")
    assert allowed(subject, Operation.READ, "a", 30 * SECOND_NS)
    assert not allowed(subject, Operation.READ, "a", 5 * SECOND_NS)
    assert not allowed(subject, Operation.READ, "a", 61 * SECOND_NS)


def test_an_upper_wrapping_bound_alone_refuses_a_request_that_does_not_wrap() -> None:
    subject = acl(Rule("a", READ, max_wrapping_ttl_ns=60 * SECOND_NS))
    assert not allowed(subject, Operation.READ, "a")
    assert allowed(subject, Operation.READ, "a", SECOND_NS)


def test_a_path_of_any_length_is_answered_and_a_long_one_not_remembered() -> None:
    memo = Memo()
    subject = Acl([Policy("p", (Rule("a*", READ),))], memo=memo)
    for path in ("a" * 512, "a" * 100_000):
        assert subject.decide(Operation.READ, path, {}).allowed
    assert [len(path) for _, path, _ in memo.answers] == [512]


def test_smaller_wrapping_bounds_win_a_merge() -> None:
    subject = acl(
        Rule("a", READ, max_wrapping_ttl_ns=60 * SECOND_NS),
        Rule("a", READ, max_wrapping_ttl_ns=20 * SECOND_NS),
    )
    assert not allowed(subject, Operation.READ, "a", 30 * SECOND_NS)


def test_an_empty_value_list_overrides_in_a_merge() -> None:
    subject = acl(Rule("a", UPDATE, allowed={"x": ("1",)}), Rule("a", UPDATE, allowed={"x": ()}))
    assert allowed(subject, Operation.UPDATE, "a", x="other")


def test_reaches_asks_for_any_right_at_or_below() -> None:
    subject = acl(Rule("kv/data/x", READ), Rule("+/meta/y", LIST), Rule("no/*", Capability.DENY))
    assert subject.reaches("kv/")
    assert subject.reaches("anything/")
    assert not acl(Rule("no/*", Capability.DENY)).reaches("no/")
    assert acl(Rule("k*", READ)).reaches("kv/")
    assert not acl(Rule("kv", READ)).reaches("kv/")


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("*", "", True),
        ("a*", "ab", True),
        ("*b", "ab", True),
        ("*b*", "abc", True),
        ("a", "b", False),
    ],
)
def test_globs(pattern: str, text: str, expected: bool) -> None:
    assert glob_matches(pattern, text) is expected


def test_what_all_acls_remember_is_bounded_in_common() -> None:
    memo = Memo(limit=50)
    text = 'path "kv/*" { capabilities = ["read"] }\npath "kv/no" { capabilities = ["deny"] }'
    acls = [Acl([parse_policy(f"p{n}", text)], memo=memo) for n in range(10)]
    for number in range(100):
        for acl in acls:
            assert acl.decide(Operation.READ, f"kv/{number}", {}).allowed
            assert not acl.decide(Operation.READ, "kv/no", {}).allowed
            assert not acl.decide(Operation.UPDATE, f"kv/{number}", {}).allowed
            assert len(memo.answers) <= 50
    assert acls[3].decide(Operation.READ, "kv/1", {}).view.granting_policies == ("p3",)


def test_all_paths_of_a_rule_share_one_answer() -> None:
    acl = Acl([parse_policy("p", 'path "kv/*" { capabilities = ["read", "list"] }')])
    views = {id(acl.decide(Operation.READ, f"kv/{n}", {}).view) for n in range(100)}
    assert len(views) == 1
