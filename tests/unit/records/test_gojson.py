"""JSON as Go writes it."""

import pytest

from zvault.records.errors import RecordError
from zvault.records.gojson import NumberLiteral, dumps, loads, loads_object


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1.0,"b":1e5,"c":0.10,"d":-0.5E-3}',
        b'{"big":123456789012345678901234567890,"u64":18446744073709551615}',
        b"[1,[],{},null,true,false]",
        '{"a":"пароль","b":"\\n\\t\\"\\\\"}'.encode(),
        b'{"a":"\\u003ca\\u003e \\u0026 \\u2028\\u2029"}',
        b"18446744073709551616",
    ],
)
def test_what_go_wrote_comes_back_byte_for_byte(text: bytes) -> None:
    assert dumps(loads(text)) == text


def test_keys_are_in_byte_order_and_html_is_escaped() -> None:
    value = {"b": "<&>", "я": 1, "a": 2, "Z": 3, "~": 4}
    expected = '{"Z":3,"a":2,"b":"\\u003c\\u0026\\u003e","~":4,"я":1}'
    assert dumps(value).decode() == expected
    assert dumps({**value, "big": 1 << 70}).decode() == expected.replace(
        ',"~"', ',"big":1180591620717411303424,"~"'
    )


def test_order_and_line_feed_are_kept_when_asked() -> None:
    assert dumps({"b": 1, "a": 2}, sort_keys=False, newline=True) == b'{"b":1,"a":2}\n'
    assert dumps({"b": 1 << 70}, newline=True) == b'{"b":1180591620717411303424}\n'


def test_a_number_literal_is_a_number() -> None:
    value = loads(b"1.50")
    assert isinstance(value, NumberLiteral)
    assert value == 1.5
    assert value.text == "1.50"


def test_bad_utf_8_and_lone_surrogates_become_replacement_characters() -> None:
    assert loads(b'{"a":"\xff"}') == {"a": "\ufffd"}
    assert loads(b'["\\ud800"]') == ["\ufffd"]
    assert dumps({"a": "\ud800"}) == '{"a":"\ufffd"}'.encode()


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"a":1} {}', b"NaN", b'{"a":NaN}', b"[" * 100_000, b"'a'"]
)
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(RecordError):
        loads(text)


def test_an_object_can_be_insisted_on() -> None:
    assert loads_object(b"{} \n") == {}
    with pytest.raises(RecordError, match="no object"):
        loads_object(b"[]")


@pytest.mark.parametrize(
    "value", [{1: 2}, float("nan"), object(), {"a": {1, 2}}, {"a": {(1,): 1 << 70}}]
)
def test_what_json_cannot_hold_is_refused_or_null(value: object) -> None:
    if isinstance(value, float):
        assert dumps(value) == b"null"
        return
    with pytest.raises(RecordError):
        dumps(value)
