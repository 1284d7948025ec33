"""Coercion of request fields: Vault's leniency, never a crash, never the value in the text."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zvault.engine.backends.fields import FieldKind, coerce
from zvault.engine.backends.framework import Field, FieldData
from zvault.engine.errors import InvalidRequestError
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
        (FieldKind.INT, " 7 ", 7),
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
        (FieldKind.SIGNED_DURATION, "-1s", -SECOND),
        (FieldKind.COMMA_LIST, "a, b,,c ", ["a", "b", "c"]),
        (FieldKind.COMMA_LIST, '["a","b"]', ["a", "b"]),
        (FieldKind.COMMA_LIST, ["a", " ", 1], ["a", "1"]),
        (FieldKind.COMMA_INTS, "1,2", [1, 2]),
        (FieldKind.COMMA_INTS, 3, [3]),
        (FieldKind.KV_PAIRS, ["a=b", "c=d=e"], {"a": "b", "c": "d=e"}),
        (FieldKind.KV_PAIRS, {"a": 1}, {"a": "1"}),
        (FieldKind.MAP, '{"a":1}', {"a": 1}),
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
        (FieldKind.INT, 2**63),
        (FieldKind.INT, "9" * 5000),
        (FieldKind.INT, gojson.NumberLiteral("1e400")),
        (FieldKind.DURATION, "hunter2"),
        (FieldKind.DURATION, -1),
        (FieldKind.DURATION, "999999999999h"),
        (FieldKind.DURATION, 2**63),
        (FieldKind.DURATION, gojson.NumberLiteral("1e400")),
        (FieldKind.BOOL, "hunter2"),
        (FieldKind.STRING, {"hunter2": 1}),
        (FieldKind.COMMA_INTS, ["hunter2"]),
        (FieldKind.KV_PAIRS, ["hunter2"]),
        (FieldKind.MAP, "hunter2"),
        (FieldKind.MAP, '{"hunter2'),
    ],
)
def test_a_refusal_names_the_field_and_never_the_value(kind: FieldKind, value: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        FieldData({"f": Field(kind)}, {"f": value})["f"]
    assert "'f'" in caught.value.message
    assert "hunter2" not in caught.value.message


@given(st.sampled_from(FieldKind), json_values)
def test_no_value_makes_anything_but_a_result_or_a_refusal(kind: FieldKind, value: Any) -> None:
    with contextlib.suppress(InvalidRequestError):
        FieldData({"f": Field(kind)}, {"f": value})["f"]


def test_null_counts_as_not_given() -> None:
    data = FieldData({"f": Field(FieldKind.INT, 5)}, {"f": None})
    assert "f" not in data
    assert (data["f"], data.get("f", 6), data.first("f")) == (5, 6, 5)


@pytest.mark.parametrize(
    ("kind", "opening"),
    [(FieldKind.MAP, '{"a":'), (FieldKind.KV_PAIRS, '{"a":'), (FieldKind.COMMA_LIST, "[")],
)
def test_json_text_that_is_nested_too_deeply_is_a_bad_value(kind: FieldKind, opening: str) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        coerce(kind, opening * 200_000)
