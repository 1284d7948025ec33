"""Keys, file names, URLs: what is taken and what is refused."""

from pathlib import Path

import pytest

from zvault.base.errors import PreconditionError
from zvault.storage import keys
from zvault.storage.copy import refuse_overlap
from zvault.storage.errors import InvalidKeyError, StoreUrlError
from zvault.storage.file_layout import (
    check_file_key,
    child_name,
    decode_entry,
    encode_entry,
    entry_path,
)
from zvault.storage.urls import StoreUrl, parse_store_url


@pytest.mark.parametrize(
    ("key", "skipped"),
    [
        ("core/lock", True),
        ("core/initialize-lock", True),
        ("core/migration", True),
        ("core/leader/1234", True),
        ("core/leader", False),
        ("core/locks", False),
        ("core/lock/x", False),
        ("logical/core/lock", False),
        ("core/keyring", False),
    ],
)
def test_exactly_locks_leaders_and_the_migration_mark_stay_behind(key: str, skipped: bool) -> None:
    assert keys.is_skipped_by_copy(key) is skipped


def test_the_last_component_of_a_file_name_carries_an_underscore() -> None:
    assert entry_path("core/keyring") == "core/_keyring"
    assert entry_path("foo") == "_foo"
    assert entry_path("a/_b/_c") == "a/_b/__c"
    assert child_name("_foo", is_directory=False) == "foo"
    assert child_name("_foo", is_directory=True) == "_foo/"
    assert child_name("stray", is_directory=False) == "stray"


def test_an_entry_looks_as_a_real_server_writes_it() -> None:
    assert encode_entry(b"hello") == b'{"Value":"aGVsbG8="}\n'
    assert encode_entry(b"") == b'{"Value":""}\n'


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b'{"Value":"aGVsbG8="}\n', b"hello"),
        (b'{"Value":"aGVsbG8="}', b"hello"),
        (b' {"value": "aGVs\\nbG8=", "Other": 1} {"Value":"x"}', b"hello"),
        (b'{"Value":null}\n', b""),
        (b'{"Other":1}\n', b""),
        (b'{"Value":""}\n', b""),
        (b"", None),
    ],
)
def test_an_entry_is_read_as_leniently_as_a_real_server_does(
    content: bytes, value: bytes | None
) -> None:
    assert decode_entry(content) == value


@pytest.mark.parametrize(
    "content",
    [b'{"Value":"aGVsb', b'{"Value":"aGVsbG8"}\n', b'{"Value":"!!!!"}\n', b'{"Value":7}\n', b"[]",
     b"\0" * 30, b"\xff\xfe", b'{"Value":"a\xc3\xbc=="}', b"[" * 100_000, b"garbage"],
)  # fmt: skip
def test_a_torn_or_foreign_file_is_an_error_and_never_a_value(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|base64|text"):
        decode_entry(content)


def test_a_name_is_limited_in_bytes_and_not_in_characters() -> None:
    check_file_key("x/" + "n" * 254)
    check_file_key("f" * 255 + "/x")
    for key in ("n" * 255, "f" * 256 + "/x", "ü" * 128, "x/" + "日" * 85):
        with pytest.raises(InvalidKeyError, match="255 bytes"):
            check_file_key(key)
    check_file_key("x/" + "日" * 84)


def test_the_folder_of_our_temporary_files_is_no_key() -> None:
    with pytest.raises(InvalidKeyError):
        check_file_key(".zvault-tmp/1")
    check_file_key("a/.zvault-tmp/1")
    check_file_key(".zvault-tmp")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("file:/var/lib/vault", StoreUrl("file", path=Path("/var/lib/vault"))),
        ("file:///var/lib/vault", StoreUrl("file", path=Path("/var/lib/vault"))),
        ("file:data dir/%41?x#y", StoreUrl("file", path=Path("data dir/%41?x#y"))),
        ("s3://bucket", StoreUrl("s3", bucket="bucket")),
        ("s3://bucket/", StoreUrl("s3", bucket="bucket")),
        ("s3://bucket/a/b c/", StoreUrl("s3", bucket="bucket", prefix="a/b c")),
        ("raft-snapshot:x.snap", StoreUrl("raft-snapshot", path=Path("x.snap"))),
    ],
)
def test_a_url_names_one_store_and_prints_as_it_was_meant(text: str, url: StoreUrl) -> None:
    assert parse_store_url(text) == url
    assert parse_store_url(str(url)) == url


@pytest.mark.parametrize(
    "text",
    ["", "file", "file:", "/var/lib/vault", "file://host/path", "ftp://x", "s3:bucket", "s3://",
     "s3:///prefix", "s3://b/../x", "s3://b//x", "http://x", "file:\0", "s3://host:9000/b"],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(StoreUrlError) as caught:
        parse_store_url(text)
    assert caught.value.hint


def test_a_credential_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(StoreUrlError) as caught:
        parse_store_url("s3://AKIAEXAMPLE:hunter2@bucket/x")
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("a", "b", "overlap"),
    [
        ("file:/a", "file:/a/b", True),
        ("file:/a/b", "file:/a", True),
        ("file:/a", "file:/a", True),
        ("file:/a", "file:/ab", False),
        ("s3 h b/x", "s3 i b/x", False),
        ("s3 h b/x", "s3 h b/x/y", True),
        ("s3 h b", "s3 h b/y", True),
        ("s3 h b/x", "s3 h b/y", False),
        ("file:/a", "s3 h a", False),
    ],
)
def test_a_copy_into_itself_is_refused(a: str, b: str, overlap: bool) -> None:
    if overlap:
        with pytest.raises(PreconditionError):
            refuse_overlap(a, b)
    else:
        refuse_overlap(a, b)
