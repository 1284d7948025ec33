"""Options of an audit device: strings, checked before anything is opened."""

from pathlib import Path

import pytest

from zvault.engine.audit.options import FileOptions, parse_options
from zvault.engine.errors import InvalidRequestError


def test_the_defaults_hash_everything_and_keep_the_file_private() -> None:
    assert parse_options("file", {"file_path": "a.log"}) == FileOptions(
        "a.log", 0o600, log_raw=False, hmac_accessor=True, elide_list_responses=False
    )


def test_every_option_is_read() -> None:
    options = parse_options(
        "file",
        {
            "path": "b.log",
            "mode": "0640",
            "log_raw": "true",
            "hmac_accessor": "0",
            "elide_list_responses": "T",
            "prefix": "@cee: ",
            "skip_test": "1",
            "format": "json",
        },
    )
    assert options == FileOptions(
        "b.log",
        0o640,
        log_raw=True,
        hmac_accessor=False,
        elide_list_responses=True,
        prefix="@cee: ",
        skip_test=True,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "file_path is required"),
        ({"file_path": ""}, "file_path is required"),
        ({"file_path": "x", "log_raw": "maybe"}, "'log_raw' must be true or false"),
        ({"file_path": "x", "hmac_accessor": "no"}, "'hmac_accessor' must be true or false"),
        ({"file_path": "x", "mode": "abc"}, "'mode' must be an octal number"),
        ({"file_path": "x", "mode": "99999"}, "'mode' must be an octal number"),
        ({"file_path": "x", "format": "jsonx"}, "only json"),
    ],
)
def test_a_bad_option_is_refused_by_name(options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        parse_options("file", options)


def test_stdout_and_discard_are_no_paths() -> None:
    assert parse_options("file", {"file_path": "STDOUT"}).path is None
    assert parse_options("file", {"file_path": "discard"}).path is None
    assert parse_options("file", {"file_path": "/x"}).path == Path("/x")
