"""Codecs round trip for any value, and no bytes break them."""

import contextlib
import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zvault.base.secret import Secret
from zvault.records import (
    approle,
    compress,
    gojson,
    identity,
    kv2,
    leases,
    mounts,
    policies,
    ssc,
    token_roles,
    tokens,
)
from zvault.records.errors import RecordError
from zvault.records.keysutil import decode_path_policy, new_path_policy
from zvault.records.kv2_paths import PathCodec, from_base62, to_base62

texts = st.text(st.characters(codec="utf-8"), max_size=12)
numbers = st.integers(-(2**80), 2**80)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=10,
)
DECODERS = [
    tokens.decode_token,
    tokens.decode_accessor,
    leases.decode_lease,
    policies.decode_policy,
    approle.decode_role,
    approle.decode_secret_id,
    approle.decode_role_id,
    approle.decode_accessor,
    token_roles.decode_token_role,
    mounts.decode_entry,
    mounts.decode_table,
    kv2.parse_key_metadata,
    kv2.parse_version,
    identity.decode_bucket,
    decode_path_policy,
    gojson.loads,
]
CODEC = PathCodec(
    decode_path_policy(new_path_policy("p", Secret(os.urandom(32)), Secret(os.urandom(32)), 0)[0])
)


@given(json_values)
def test_json_written_is_json_read(value: Any) -> None:
    assert gojson.loads(gojson.dumps(value)) == value


@given(json_values)
def test_json_written_is_what_other_readers_read(value: Any) -> None:
    assert json.loads(gojson.dumps(value)) == value


@given(json_values)
def test_json_rewritten_is_the_same_text(value: Any) -> None:
    text = gojson.dumps(value)
    assert gojson.dumps(gojson.loads(text)) == text


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
)
def test_every_number_keeps_its_digits(text: str) -> None:
    if text == "-0":
        return
    assert gojson.dumps(gojson.loads(text)) == text.encode()


@given(st.binary(min_size=1, max_size=200).filter(lambda data: data[0] != 0))
def test_base_62_round_trips(data: bytes) -> None:
    assert from_base62(to_base62(data)) == data


paths = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=30).filter(
        lambda part: part not in (".", "..")
    ),
    min_size=1,
    max_size=4,
)


@given(paths)
def test_any_name_decrypts_to_itself(parts: list[str]) -> None:
    names = CODEC.encrypt_path("/".join(parts)).split("/")
    assert len(names) == len(parts)
    for index, name in enumerate(names):
        assert CODEC.decrypt_component(name, "/".join(parts[:index])) == parts[index]


@given(paths, paths)
def test_different_names_encrypt_differently(one: list[str], other: list[str]) -> None:
    same = CODEC.encrypt_path("/".join(one)) == CODEC.encrypt_path("/".join(other))
    assert same == (one == other)


@given(st.binary(max_size=400))
def test_compression_round_trips(data: bytes) -> None:
    assert compress.expand(compress.gzipped(data)) == data
    assert compress.expand(compress.snappy_framed(data)) == data


@given(texts.filter(bool), st.binary(min_size=1, max_size=40))
def test_external_ids_round_trip(inner: str, header_key: bytes) -> None:
    external = ssc.encode("hvs." + inner, header_key)
    assert ssc.decode(external, header_key) == "hvs." + inner


@pytest.mark.parametrize("decode", DECODERS, ids=lambda d: f"{d.__module__}.{d.__name__}")
@given(data=st.one_of(st.binary(max_size=60), json_values.map(lambda v: json.dumps(v).encode())))
def test_no_bytes_raise_anything_but_a_record_error(decode: Any, data: bytes) -> None:
    with contextlib.suppress(RecordError):
        decode(data)


@pytest.mark.parametrize("canary", [b"G", b"L", b"S", b"4"])
@given(data=st.binary(max_size=100))
def test_no_compressed_bytes_raise_anything_but_a_record_error(canary: bytes, data: bytes) -> None:
    with contextlib.suppress(RecordError):
        compress.expand(canary + data)


@given(st.text(max_size=80))
def test_no_token_raises_anything_but_a_record_error(token: str) -> None:
    with contextlib.suppress(RecordError):
        ssc.decode("hvs." + token)
    with contextlib.suppress(RecordError):
        CODEC.decrypt_component(token)


fields = st.fixed_dictionaries(
    {
        "id": texts,
        "policies": st.lists(texts, max_size=3).map(tuple),
        "meta": st.dictionaries(texts, texts, max_size=3),
        "ttl_ns": st.integers(0, 2**62),
        "num_uses": st.integers(-5, 10),
        "type": st.sampled_from([1, 2]),
        "bound_cidrs": st.lists(texts, max_size=2).map(tuple),
        "no_identity_policies": st.booleans(),
    }
)


@given(fields)
def test_token_entries_round_trip(values: dict[str, Any]) -> None:
    entry = tokens.TokenEntry(**values)
    assert tokens.decode_token(tokens.encode_token(entry)) == entry


@given(
    st.integers(-62_135_596_800 * 10**9, 253_402_300_799 * 10**9),
    st.one_of(st.none(), st.lists(texts, max_size=3).map(tuple)),
)
def test_leases_round_trip(time_ns: int, granted: tuple[str, ...] | None) -> None:
    auth = None if granted is None else leases.LeaseAuth(policies=granted, lease_ns=5)
    lease = leases.LeaseEntry(lease_id="a/b", expire_time_ns=time_ns, auth=auth)
    assert leases.decode_lease(leases.encode_lease(lease)) == lease
