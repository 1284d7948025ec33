"""Structure: blocks, labels, duplicates, JSON, and what is refused."""

import pytest

from zvault.hcl.errors import HclError
from zvault.hcl.parser import parse
from zvault.hcl.values import Object

POLICY_FORMS = {
    "block": 'path "a/*" { capabilities = ["read"] }',
    "quoted key": '"path" "a/*" { capabilities = ["read"] }',
    "map": 'path = { "a/*" = { capabilities = ["read"] } }',
    "nested": 'path { "a/*" { capabilities = ["read"] } }',
    "json": '{"path": {"a/*": {"capabilities": ["read"]}}}',
    "json list": '{"path": [{"a/*": {"capabilities": ["read"]}}]}',
    "json list inside": '\n {"path": {"a/*": [{"capabilities": ["read"]}]}}',
}


@pytest.mark.parametrize("form", POLICY_FORMS)
def test_a_stanza_is_found_in_every_form(form: str) -> None:
    stanzas = parse(POLICY_FORMS[form]).stanzas("path")
    assert [(s.label, s.body.to_python()) for s in stanzas] == [("a/*", {"capabilities": ["read"]})]


def test_two_stanzas_of_one_path_stay_two_in_their_order() -> None:
    text = 'path "a" { policy = "deny" }\nname = "x"\npath "a" { policy = "read" }'
    stanzas = parse(text).stanzas("path")
    assert [s.body.to_python()["policy"] for s in stanzas] == ["deny", "read"]
    assert [s.item.line for s in stanzas] == [1, 3]


def test_duplicates_in_json_stay_two() -> None:
    stanzas = parse('{"path": {"a": {"policy": "deny"}, "a": {"policy": "read"}}}').stanzas("path")
    assert [s.body.to_python()["policy"] for s in stanzas] == ["deny", "read"]


def test_several_labels_and_blocks_without_label() -> None:
    document = parse('a "b" "c" { d = 1 }\ntelemetry { e = 2 }\ntelemetry { e = 3 }')
    assert document.to_python()["a"] == {"b": {"c": {"d": 1}}}
    assert [b.to_python() for b in document.blocks("telemetry")] == [{"e": 2}, {"e": 3}]


def test_the_last_of_a_setting_can_be_asked_for() -> None:
    document = parse("x = 1\nx = 2")
    item = document.last("x")
    assert item is not None
    assert item.value == 2
    assert [found.value for found in document.find("x")] == [1, 2]
    assert document.last("y") is None


def test_items_may_be_separated_by_commas_or_nothing() -> None:
    assert parse("a = { x = 1, y = 2 z = 3 }").to_python() == {"a": {"x": 1, "y": 2, "z": 3}}


def test_empty_text_is_an_empty_document() -> None:
    assert parse("") == Object()
    assert parse(" # only a comment") == Object()


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a =",
        "a = }",
        "a = [1 2]",
        "a = [1,",
        "a {",
        "a }",
        '= "x"',
        'a "b" = 1',
        "1 = 2",
        "true = 1",
        "[1]",
        "{",
        '{"a": }',
        '{"a": NaN}',
        '{"a": 1} x',
        '{"a": 1e999999, }',
    ],
)
def test_text_of_another_shape_is_refused_with_a_place_or_as_json(text: str) -> None:
    with pytest.raises(HclError) as caught:
        parse(text)
    assert caught.value.line or "JSON" in caught.value.message


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a {" * 5000, '{"a":' * 5000])
def test_nesting_without_end_is_refused(text: str) -> None:
    with pytest.raises(HclError):
        parse(text)


def test_nesting_that_closes_but_is_too_deep_is_refused() -> None:
    with pytest.raises(HclError, match="deeper"):
        parse('{"a":' * 150 + "1" + "}" * 150)


def test_a_value_where_a_block_must_be_is_named_without_the_value() -> None:
    with pytest.raises(HclError) as caught:
        parse('path = "s3cr3t"').stanzas("path")
    assert "path" in caught.value.message
    assert "s3cr3t" not in caught.value.message


@pytest.mark.parametrize(
    "text", ['x = "s3cr3t', 's3cr3t "x" = 1', "x = s3cr3t", 'x = [1 "s3cr3t"]']
)
def test_an_error_never_repeats_the_text(text: str) -> None:
    with pytest.raises(HclError) as caught:
        parse(text)
    assert "s3cr3t" not in str(caught.value)
