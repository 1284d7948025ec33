"""Mount tables and where a mount's data lies."""

import json

import pytest

from zvault.records import compress
from zvault.records.errors import RecordError
from zvault.records.mounts import (
    AUDIT,
    AUTH,
    MOUNTS,
    MountConfig,
    MountEntry,
    MountTable,
    decode_entry,
    decode_table,
    encode_entry,
)


@pytest.mark.parametrize(
    ("table", "kind", "prefix"),
    [
        (MOUNTS, "kv", "logical/u/"),
        (MOUNTS, "identity", "logical/u/"),
        (MOUNTS, "system", "sys/"),
        (MOUNTS, "ns_system", "sys/"),
        (AUTH, "approle", "auth/u/"),
        (AUTH, "token", "sys/token/"),
        (AUDIT, "file", "audit/u/"),
    ],
)
def test_a_mounts_data_lies_where_vault_puts_it(table: str, kind: str, prefix: str) -> None:
    assert MountEntry(table=table, type=kind, uuid="u").view_prefix == prefix


@pytest.mark.parametrize(
    ("kind", "options", "version"),
    [
        ("kv", None, 1),
        ("kv", {}, 1),
        ("kv", {"version": "1"}, 1),
        ("kv", {"version": "2"}, 2),
        ("generic", None, 1),
        ("transit", {"version": "2"}, 0),
    ],
)
def test_the_kv_version_is_in_the_options(
    kind: str, options: dict[str, str] | None, version: int
) -> None:
    assert MountEntry(type=kind, options=options).kv_version == version


def test_a_table_is_written_compressed_and_read_back() -> None:
    table = MountTable(
        MOUNTS,
        (
            MountEntry(path="a/", type="kv", uuid="u", options={"version": "2"}),
            MountEntry(path="b/", type="kv", config=MountConfig(max_lease_ttl_ns=5, token_type=3)),
        ),
    )
    data = table.encode()
    assert data[:1] == b"G"
    assert decode_table(data) == table


def test_null_and_empty_options_are_two_things() -> None:
    for options in (None, {}):
        entry = MountEntry(path="a/", type="kv", options=options)
        assert decode_entry(encode_entry(entry)).options == options


def test_an_empty_table_has_null_entries() -> None:
    assert decode_table(b'{"type":"audit","entries":null}') == MountTable(AUDIT)
    assert b'"entries":null' in compress.expand(MountTable(AUDIT).encode())


def test_entries_without_table_or_namespace_get_them() -> None:
    entry = decode_table(b'{"type":"auth","entries":[{"path":"a/","type":"x"}]}').entries[0]
    assert (entry.table, entry.namespace_id) == (AUTH, "root")


def test_a_token_type_by_name_is_read() -> None:
    body = {"path": "a/", "config": {"token_type": "batch"}}
    assert decode_entry(json.dumps(body).encode()).config.token_type == 2


def test_tunings_nobody_here_knows_are_kept() -> None:
    body = {"path": "a/", "config": {"user_lockout_config": {"lockout_threshold": 3}}}
    again = json.loads(encode_entry(decode_entry(json.dumps(body).encode())))
    assert again["config"] == body["config"]


@pytest.mark.parametrize(
    "data",
    [b"{}", b'{"type":"mounts","entries":{}}', b'{"type":"mounts","entries":[1]}', b"[]"],
)
def test_a_table_of_another_shape_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        decode_table(data)


def test_a_config_of_another_shape_is_refused() -> None:
    with pytest.raises(RecordError, match="config"):
        decode_entry(b'{"path":"a/","config":[1]}')
