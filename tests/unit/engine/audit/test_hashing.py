"""What the audit log may show of data: names, booleans, null and what the engine counted itself."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zvault.engine.audit.hashing import PREFIX, REMEMBERED, Hasher, RawHasher
from zvault.engine.userdata import EncodedData, Timestamp, UserData
from zvault.records import gojson

SALT = "11111111-2222-3333-4444-555555555555"


def reference(value: str, salt: str = SALT) -> str:
    return PREFIX + hmac.new(salt.encode(), value.encode(), hashlib.sha256).hexdigest()


@given(st.text(), st.text(max_size=200))
def test_the_hash_is_hmac_sha256_under_the_salts_text(value: str, salt: str) -> None:
    assert Hasher(salt).text(value) == reference(value, salt)
    assert Hasher(salt).remembered(value) == reference(value, salt)


def test_remembering_is_bounded_and_changes_nothing() -> None:
    hasher = Hasher(SALT)
    for number in range(REMEMBERED + 10):
        assert hasher.remembered(str(number)) == reference(str(number))
    assert len(hasher._remembered) == REMEMBERED


def test_strings_are_hashed_at_any_depth_and_names_are_not() -> None:
    data = {"a": "x", "b": [{"c": "", "d": None, "e": True}], "f": ("y",)}
    assert Hasher(SALT).tree(data, numbers=False) == {
        "a": reference("x"),
        "b": [{"c": reference(""), "d": None, "e": True}],
        "f": [reference("y")],
    }


def test_numbers_of_users_are_hashed_as_the_text_they_were_written_as() -> None:
    given_text = '{"i":30,"f":1.0,"g":1e5,"big":123456789012345678901234567890,"n":-0.50}'
    data = gojson.loads_object(given_text)
    shown = Hasher(SALT).tree(data, numbers=True)
    assert shown == {
        "i": reference("30"),
        "f": reference("1.0"),
        "g": reference("1e5"),
        "big": reference("123456789012345678901234567890"),
        "n": reference("-0.50"),
    }


def test_numbers_of_the_engine_stay_and_those_inside_user_data_do_not() -> None:
    hasher = Hasher(SALT)
    answer = {"version": 1, "data": UserData({"pin": 1234, "deep": [{"n": 5}]})}
    assert hasher.tree(answer, numbers=False) == {
        "version": 1,
        "data": {"pin": reference("1234"), "deep": [{"n": reference("5")}]},
    }
    whole = EncodedData({"pin": 1234}, b"", is_user_data=True)
    assert hasher.tree(whole, numbers=False) == {"pin": reference("1234")}
    assert hasher.tree(EncodedData({"n": 1}, b""), numbers=False) == {"n": 1}


def test_times_the_engine_made_are_readable() -> None:
    time = Timestamp("2026-11-21T00:00:00Z")
    shown = Hasher(SALT).tree({"at": time, "was": str(time)}, numbers=False)
    assert shown == {"at": time, "was": reference(str(time))}


def test_what_lies_below_an_exempt_name_is_readable_at_any_depth() -> None:
    data = {"keep": {"a": "x", "n": 1}, "b": [{"keep": "y", "hide": "z"}]}
    assert Hasher(SALT).tree(data, numbers=True, plain_keys=("keep",)) == {
        "keep": {"a": "x", "n": 1},
        "b": [{"keep": "y", "hide": reference("z")}],
    }


def test_raw_hides_nothing_and_says_so_by_its_name() -> None:
    raw = RawHasher()
    assert raw.tree({"a": "x"}, numbers=True) == {"a": "x"}
    assert (raw.text("t"), raw.remembered("t")) == ("t", "t")


@pytest.mark.parametrize("value", [b"bytes", object(), {1, 2}])
def test_a_value_of_no_known_kind_is_hashed_and_never_shown(value: object) -> None:
    shown = Hasher(SALT).tree({"x": value}, numbers=True)["x"]
    texts = shown if isinstance(shown, list) else [shown]
    assert all(text.startswith(PREFIX) for text in texts)


def test_two_hashers_never_share_a_memo() -> None:
    assert Hasher(SALT).number != Hasher(SALT).number
