"""HTTP words to the engine's words."""

import pytest

from zvault.engine.api import Operation
from zvault.engine.errors import CodedError, EngineError, InvalidRequestError
from zvault.server.translate import (
    MERGE_PATCH,
    MovedError,
    body_data,
    query_data,
    read_operation,
    read_target,
    read_wrap_ttl,
)

FORM = b"application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/v1/kv/a", "/v1/kv/a"),
        (b"/v1/kv/a%20b", "/v1/kv/a b"),
        (b"/v1/kv/%D0%B0", "/v1/kv/а"),
        (b"/v1/kv/\xd0\xb0", "/v1/kv/а"),
        (b"/v1/kv/a%252Fb", "/v1/kv/a%2Fb"),
        (b"/v1/kv/a+b", "/v1/kv/a+b"),
        (b"/v1/kv/http:/x", "/v1/kv/http:/x"),
        (b"/v1/kv/a..b", "/v1/kv/a..b"),
        (b"http://host:1/v1/kv/a", "/v1/kv/a"),
        (b"/v1/kv/a%2Fb", "/v1/kv/a/b"),
    ],
)
def test_a_path_is_decoded_exactly_once(target: bytes, path: str) -> None:
    assert read_target(target) == (path, {})


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/kv/%01",
        b"/v1/kv/%00",
        b"/v1/kv/%ff",
        b"/v1/kv/%zz",
        b"/v1/kv/%2",
        b"/v1/kv/%E2%80%AE",
        b"/v1/kv/\xff",
        b"*",
        b"host:1",
        b"ftp://x/v1/",
        b"/v1/kv?a=%ff",
        b"/v1/kv?a=\xff",
    ],
)
def test_a_path_that_means_mischief_is_400(target: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        read_target(target)


@pytest.mark.parametrize(
    ("target", "location", "climbs"),
    [
        (b"/v1//kv/a", "/v1/kv/a", False),
        (b"//v1/kv//?x=1", "/v1/kv/?x=1", False),
        (b"//evil.example/v1", "/evil.example/v1", False),
        (b"/v1/./kv/a%20b", "/v1/kv/a%20b", False),
        (b"/v1/kv/%2F/a%3Fb", "/v1/kv/a%3Fb", False),
        (b"/v1/kv/../sys", "/v1/sys", True),
        (b"/v1/kv/%2e%2e/sys/", "/v1/sys/", True),
        (b"/v1/kv/x%2F..%2Fy", "/v1/kv/y", True),
        (b"/v1/..", "/", True),
        (b"/../../v1/x", "/v1/x", True),
    ],
)
def test_a_path_that_is_not_tidy_is_not_served(target: bytes, location: str, climbs: bool) -> None:
    with pytest.raises(MovedError) as moved:
        read_target(target)
    assert (moved.value.location, moved.value.climbs) == (location, climbs)


@pytest.mark.parametrize(
    ("method", "query", "expected"),
    [
        ("GET", {}, (Operation.READ, "kv/a")),
        ("GET", {"list": ["true"]}, (Operation.LIST, "kv/a/")),
        ("GET", {"list": ["false"]}, (Operation.READ, "kv/a")),
        ("LIST", {}, (Operation.LIST, "kv/a/")),
        ("POST", {}, (Operation.UPDATE, "kv/a")),
        ("PUT", {}, (Operation.UPDATE, "kv/a")),
        ("PATCH", {}, (Operation.PATCH, "kv/a")),
        ("DELETE", {}, (Operation.DELETE, "kv/a")),
        ("HELP", {}, (Operation.HELP, "kv/a")),
        ("GET", {"help": ["1"]}, (Operation.HELP, "kv/a")),
    ],
)
def test_verbs_become_operations(
    method: str, query: dict[str, list[str]], expected: tuple[Operation, str]
) -> None:
    assert read_operation(method, "kv/a", query) == expected
    assert "list" not in query


@pytest.mark.parametrize(("method", "status"), [("HEAD", 405), ("OPTIONS", 405), ("", 405)])
def test_other_verbs_are_405(method: str, status: int) -> None:
    with pytest.raises(CodedError) as refused:
        read_operation(method, "kv/a", {})
    assert refused.value.status == status


def test_a_truth_value_that_is_none_is_400_without_text() -> None:
    with pytest.raises(CodedError) as refused:
        read_operation("GET", "kv", {"list": ["maybe"]})
    assert (refused.value.status, refused.value.messages) == (400, [])


def test_a_repeated_query_name_is_a_list() -> None:
    _, query = read_target(b"/v1/a?x=1&y=2&x=3&z=")
    assert query_data(query) == {"x": ["1", "3"], "y": "2", "z": ""}


def test_json_is_read_whatever_the_content_type_says() -> None:
    for content_type in (b"", b"text/plain", FORM, b"application/json; charset=utf-8"):
        assert body_data("POST", content_type, b' {"a": 1}') == {"a": 1}


def test_a_form_is_read_as_one() -> None:
    assert body_data("POST", FORM, b"a=1&b=x%20y&a=3") == {"a": "1,3", "b": "x y"}


def test_what_follows_the_first_value_is_not_looked_at() -> None:
    """As Go's decoder has it; a real Vault takes such a body."""
    assert body_data("POST", b"", b'{"a":1.50}{"b":2}') == {"a": 1.5}
    assert body_data("POST", b"", b' {"a":"\xff"} x') == {"a": "\ufffd"}


def test_null_and_nothing_are_no_data() -> None:
    assert body_data("POST", b"", b"null") == {}
    assert body_data("POST", b"", b"") == {}


@pytest.mark.parametrize(
    "body", [b"{", b"[1]", b"1", b'"x"', b"x {}", b"\xff", b"{'a':1}", b"[" * 100_000]
)
def test_bad_json_is_400_and_does_not_quote_the_body(body: bytes) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        body_data("POST", b"", body)
    assert "JSON" in refused.value.message
    assert "'a'" not in refused.value.message


def test_numbers_keep_their_kind_and_their_digits() -> None:
    data = body_data("POST", b"", b'{"i":1,"f":1.0,"b":123456789012345678901234567890}')
    assert isinstance(data["i"], int)
    assert isinstance(data["f"], float)
    assert data["b"] == 123456789012345678901234567890


def test_patch_wants_its_media_type() -> None:
    assert body_data("PATCH", MERGE_PATCH + b"; charset=utf-8", b'{"a":null}') == {"a": None}
    with pytest.raises(EngineError) as refused:
        body_data("PATCH", b"application/json", b"{}")
    assert isinstance(refused.value, CodedError)
    assert refused.value.status == 415


@pytest.mark.parametrize(("text", "seconds"), [("300", 300), ("5m", 300), ("1.5s", 2), ("0", 0)])
def test_wrap_ttl_is_seconds_or_a_duration(text: str, seconds: int) -> None:
    assert read_wrap_ttl(text) == seconds


@pytest.mark.parametrize("text", ["zz", "-5", "-1s"])
def test_a_bad_wrap_ttl_is_400(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        read_wrap_ttl(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("zzz", 'invalid duration "zzz"'),
        ("60.5", 'missing unit in duration "60.5"'),
        ("1e3", 'unknown unit "e" in duration "1e3"'),
        ("5m3y", 'unknown unit "y" in duration "5m3y"'),
        ("-", 'invalid duration "-"'),
        ('5"', "invalid duration"),
        ("9" * 200 + "x", "invalid duration"),
    ],
)
def test_a_wrap_ttl_that_is_none_is_named_in_gos_words(text: str, words: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        read_wrap_ttl(text)
    assert raised.value.messages == [f"error parsing X-Vault-Wrap-TTL header: time: {words}"]
