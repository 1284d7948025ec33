"""Every record: unknown fields survive, wrong shapes are named, no secret shows in a repr."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from zvault.records import approle, leases, mounts, policies, token_roles, tokens
from zvault.records.compress import gzipped
from zvault.records.errors import RecordError

Decode = Callable[[bytes], Any]
Encode = Callable[[Any], bytes]

CASES: dict[str, tuple[Decode, Encode, dict[str, Any]]] = {
    "token": (
        tokens.decode_token,
        tokens.encode_token,
        {"id": "hvs.s3cr3t", "policies": ["a"], "ttl": 5, "type": 1, "namespace_id": "root"},
    ),
    "token accessor": (
        tokens.decode_accessor,
        tokens.encode_accessor,
        {"token_id": "hvs.s3cr3t", "accessor_id": "x", "namespace_id": "root"},
    ),
    "lease": (
        leases.decode_lease,
        leases.encode_lease,
        {"lease_id": "a/b", "client_token": "hvs.s3cr3t", "secret": {"k": "s3cr3t"}, "version": 1},
    ),
    "policy": (policies.decode_policy, policies.encode_policy, {"Raw": 'path "a" {}', "Type": 0}),
    "role": (
        approle.decode_role,
        approle.encode_role,
        {"role_id": "x", "hmac_key": "s3cr3t", "bind_secret_id": True},
    ),
    "secret id": (
        approle.decode_secret_id,
        approle.encode_secret_id,
        {"secret_id_accessor": "x", "metadata": {"a": "b"}},
    ),
    "role_id": (approle.decode_role_id, approle.encode_role_id, {"name": "x"}),
    "accessor": (approle.decode_accessor, approle.encode_accessor, {"secret_id_hmac": "x"}),
    "token role": (token_roles.decode_token_role, token_roles.encode_token_role, {"name": "x"}),
    "mount": (mounts.decode_entry, mounts.encode_entry, {"path": "a/", "type": "kv", "uuid": "u"}),
}


@pytest.mark.parametrize("name", CASES)
def test_fields_nobody_here_knows_survive_a_rewrite(name: str) -> None:
    decode, encode, body = CASES[name]
    unknown = {"ZNewField": {"a": [1, None]}, "z_number": 12345678901234567890123}
    again = json.loads(encode(decode(json.dumps(body | unknown).encode())))
    assert {key: again[key] for key in unknown} == unknown
    assert {key: again[key] for key in body} == body


@pytest.mark.parametrize("name", CASES)
def test_a_rewrite_of_a_rewrite_changes_nothing(name: str) -> None:
    decode, encode, body = CASES[name]
    once = encode(decode(json.dumps(body).encode()))
    assert encode(decode(once)) == once


@pytest.mark.parametrize("name", CASES)
def test_compressed_entries_are_read(name: str) -> None:
    decode, _, body = CASES[name]
    data = json.dumps(body).encode()
    assert decode(gzipped(data)) == decode(data)


@pytest.mark.parametrize("name", CASES)
def test_no_field_of_another_type_goes_unnoticed(name: str) -> None:
    decode, encode, body = CASES[name]
    checked = 0
    for field, value in json.loads(encode(decode(json.dumps(body).encode()))).items():
        if value is None or field in ("secret", "data", "bound_cidr_list_list"):
            continue
        for wrong in (["s3cr3t", 1], {"s3cr3t": 1}, "s3cr3t", 17):
            if isinstance(wrong, type(value)) or (isinstance(value, list) and wrong == "s3cr3t"):
                continue
            if isinstance(value, bool | int) and isinstance(wrong, int) and value is not True:
                continue
            if field in ("type", "Type") and isinstance(wrong, str):
                continue  # old stores have names here
            if field in ("DisplayName", "NumUses", "CreationTime", "ExplicitMaxTTL"):
                continue  # deprecated twins
            with pytest.raises(RecordError) as caught:
                decode(json.dumps(body | {field: wrong}).encode())
            assert "s3cr3t" not in str(caught.value)
            checked += 1
    assert checked


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"\xff", b"Gx"])
def test_text_that_is_no_record_is_refused(name: str, data: bytes) -> None:
    decode, _, _ = CASES[name]
    if name == "token accessor" and data in (b"", b"[]", b"null", b"\xff"):
        return  # accessors from before Vault 0.6.2 are bare ids: any text is one
    with pytest.raises(RecordError):
        decode(data)


@pytest.mark.parametrize("name", CASES)
def test_no_secret_shows_in_a_repr(name: str) -> None:
    decode, _, body = CASES[name]
    assert "s3cr3t" not in repr(decode(json.dumps(body).encode()))
