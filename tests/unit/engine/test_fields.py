"""Coercion of request fields: Vault's leniency, never a crash, never the value in the text."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zvault.engine.backends.fields import FieldKind, coerce
from zvault.engine.backends.framework import Field, FieldData
from zvault.engine.errors import BadFieldError, InvalidRequestError
from zvault.records import gojson

SECOND = 10**9
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("kind", "given_value", "wanted"),
    [
        (FieldKind.INT, "7", 7),
        (FieldKind.INT, "0x1F", 31),
        (FieldKind.INT, "-017", -15),
        (FieldKind.INT, "1_000", 1000),
        (FieldKind.INT, None, 0),
        (FieldKind.FLOAT, "2.5", 2.5),
        (FieldKind.FLOAT, True, 1.0),
        (FieldKind.INT, True, 1),
        (FieldKind.INT, "", 0),
        (FieldKind.BOOL, "t", True),
        (FieldKind.BOOL, 0, False),
        (FieldKind.STRING, 5, "5"),
        (FieldKind.DURATION, "90m", 5400 * SECOND),
        (FieldKind.DURATION, "30", 30 * SECOND),
        (FieldKind.DURATION, 30, 30 * SECOND),
        (FieldKind.DURATION, "1h30m", 5400 * SECOND),
        (FieldKind.DURATION, "2d", 172800 * SECOND),
        (FieldKind.DURATION, "", 0),
        (FieldKind.DURATION, "1500ms", SECOND),
        (FieldKind.DURATION, "-500ms", 0),
        (FieldKind.SIGNED_DURATION, "-1500ms", -SECOND),
        (FieldKind.SIGNED_DURATION, "-1s", -SECOND),
        (FieldKind.COMMA_LIST, "a, b,,c ", ["a", "b", "", "c"]),
        (FieldKind.COMMA_LIST, '["a","b"]', ['["a"', '"b"]']),
        (FieldKind.COMMA_LIST, ["a", " ", 1], ["a", "", "1"]),
        (FieldKind.COMMA_LIST, "", []),
        (FieldKind.COMMA_LIST, None, []),
        (FieldKind.WORDS, "a,b", ["a,b"]),
        (FieldKind.COMMA_INTS, "1,2", [1, 2]),
        (FieldKind.COMMA_INTS, 3, [3]),
        (FieldKind.KV_PAIRS, ["a=b", "c=d=e"], {"a": "b", "c": "d=e"}),
        (FieldKind.KV_PAIRS, {"a": 1}, {"a": "1"}),
        (FieldKind.KV_PAIRS, "a=b,c=d", {"a": "b,c=d"}),
        (FieldKind.KV_PAIRS, [{"a": 1}, {"b": None}], {"a": "1", "b": ""}),
        (FieldKind.MAP, [{"a": 1}, None, {"b": 2}], {"a": 1, "b": 2}),
        (FieldKind.MAP, None, {}),
    ],
)
def test_what_vault_takes_is_taken(kind: FieldKind, given_value: Any, wanted: Any) -> None:
    assert coerce(kind, given_value) == wanted


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (FieldKind.INT, "hunter2"),
        (FieldKind.INT, 1.5),
        (FieldKind.INT, gojson.NumberLiteral("1e3")),
        (FieldKind.INT, gojson.NumberLiteral("1.0")),
        (FieldKind.BOOL, 2),
        (FieldKind.BOOL, gojson.NumberLiteral("1.0")),
        (FieldKind.DURATION, gojson.NumberLiteral("60.0")),
        (FieldKind.DURATION, gojson.NumberLiteral("1e3")),
        (FieldKind.DURATION, gojson.NumberLiteral("1e300")),
        (FieldKind.DURATION, "1.5"),
        (FieldKind.DURATION, "\u0663"),
        (FieldKind.DURATION, "\u0663s"),
        (FieldKind.INT, " 7 "),
        (FieldKind.INT, 2**63),
        (FieldKind.DURATION, " 7"),
        (FieldKind.DURATION, True),
        (FieldKind.INT, "9" * 5000),
        (FieldKind.INT, gojson.NumberLiteral("1e400")),
        (FieldKind.DURATION, "hunter2"),
        (FieldKind.DURATION, -1),
        (FieldKind.DURATION, "999999999999h"),
        (FieldKind.DURATION, 2**63),
        (FieldKind.DURATION, gojson.NumberLiteral("1e400")),
        (FieldKind.BOOL, "hunter2"),
        (FieldKind.FLOAT, "hunter2"),
        (FieldKind.FLOAT, 10**400),
        (FieldKind.STRING, {"hunter2": 1}),
        (FieldKind.COMMA_INTS, ["hunter2"]),
        (FieldKind.KV_PAIRS, ["hunter2"]),
        (FieldKind.MAP, "hunter2"),
        (FieldKind.MAP, '{"hunter2":1}'),
        (FieldKind.KV_PAIRS, ["=hunter2"]),
    ],
)
def test_a_refusal_names_the_field_and_never_the_value(kind: FieldKind, value: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        FieldData({"f": Field(kind)}, {"f": value})
    assert "'f'" in caught.value.message
    assert "hunter2" not in caught.value.message


@given(st.sampled_from(FieldKind), json_values)
def test_no_value_makes_anything_but_a_result_or_a_refusal(kind: FieldKind, value: Any) -> None:
    with contextlib.suppress(InvalidRequestError):
        FieldData({"f": Field(kind)}, {"f": value})


def test_a_bad_field_is_refused_although_nobody_looks_at_it() -> None:
    with pytest.raises(BadFieldError):
        FieldData({"f": Field(FieldKind.INT), "g": Field(FieldKind.INT)}, {"f": 1, "g": "x"})


def test_null_is_empty_but_a_lifetime_that_is_null_is_not_given() -> None:
    number = FieldData({"f": Field(FieldKind.INT, 5)}, {"f": None})
    assert "f" in number
    assert (number["f"], number.get("f", 6), number.first("f")) == (0, 0, 0)
    lifetime = FieldData({"f": Field(FieldKind.DURATION, 5)}, {"f": None})
    assert "f" not in lifetime
    assert (lifetime["f"], lifetime.get("f", 6), lifetime.first("f")) == (5, 6, 5)
