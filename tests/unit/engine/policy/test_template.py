"""Templates in policy paths: what has a value, and what a value may do."""

import pytest

from zvault.engine.policy import template
from zvault.engine.policy.template import TemplateAlias, TemplateGroup, TemplateIdentity

WHO = TemplateIdentity(
    id="e-1",
    name="ann",
    metadata={"team": "red", "slash": "a/b", "star": "x*", "plus": "+", "empty": ""},
    aliases={"up_1": TemplateAlias("a-1", "ann@up", {"k": "v"}, {"c": "w"})},
    groups=(TemplateGroup("g-1", "ops", {"room": "7"}), TemplateGroup("g-2", "ops.night")),
)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("identity.entity.id", "e-1"),
        (" \nidentity.entity.name\t", "ann"),
        ("identity.entity.metadata.team", "red"),
        ("identity.entity.metadata.slash", "a/b"),
        ("identity.entity.metadata.empty", ""),
        ("identity.entity.aliases.up_1.id", "a-1"),
        ("identity.entity.aliases.up_1.name", "ann@up"),
        ("identity.entity.aliases.up_1.metadata.k", "v"),
        ("identity.entity.aliases.up_1.custom_metadata.c", "w"),
        ("identity.groups.ids.g-1.name", "ops"),
        ("identity.groups.ids.g-1.id", "g-1"),
        ("identity.groups.names.ops.id", "g-1"),
        ("identity.groups.names.ops.metadata.room", "7"),
        ("identity.entity.metadata.star", None),
        ("identity.entity.metadata.plus", None),
        ("identity.entity.metadata.none", None),
        ("identity.entity.metadata", None),
        ("identity.entity", None),
        ("identity.entity.aliases.other.name", None),
        ("identity.entity.aliases.up_1", None),
        ("identity.groups.names.ops.night.id", None),
        ("identity.groups.names.others.id", None),
        ("identity.groups.ids", None),
        ("identity.groups.mine.g-1.id", None),
        ("nobody.knows", None),
        ("", None),
    ],
)
def test_what_has_a_value(words: str, value: str | None) -> None:
    expected = None if value is None else f"kv/{value}/x"
    assert template.resolve("kv/{{" + words + "}}/x", WHO) == expected


def test_one_template_without_value_takes_the_whole_path() -> None:
    both = "kv/{{identity.entity.name}}/{{identity.entity.metadata.none}}"
    assert template.resolve(both, WHO) is None


def test_without_an_entity_nothing_has_a_value() -> None:
    assert template.resolve("kv/{{identity.entity.id}}", None) is None
    assert template.resolve("kv/{{identity.entity.name}}", TemplateIdentity("e", "")) is None


def test_a_value_is_not_read_as_a_template_again() -> None:
    who = TemplateIdentity("e-1", "{{identity.entity.id}}")
    assert template.resolve("kv/{{identity.entity.name}}", who) == "kv/{{identity.entity.id}}"


@pytest.mark.parametrize("path", ["a/{{x", "a/}}b{{", "a}}", "{{a{{b}}c}}", "{{a}}}}", "{{}}{{"])
def test_braces_that_do_not_balance_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="unbalanced"):
        template.check(path)


@pytest.mark.parametrize("path", ["a/b", "{{}}", "a/{{nobody.knows}}/{{x}}", "a/{b}"])
def test_what_a_template_names_is_nobodys_business_when_it_is_written(path: str) -> None:
    template.check(path)
