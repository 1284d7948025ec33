"""The engine's response as Vault's JSON, and the rule of 200, 204 and 404."""

import json
from typing import Any

import msgspec
import pytest

from zvault.engine.api import Auth, Operation, Response, WrapInfo
from zvault.engine.envelope import envelope
from zvault.records import gojson
from zvault.server.envelope import answer_for

ID = "11111111-2222-4333-8444-555555555555"
KEYS = [
    "request_id",
    "lease_id",
    "renewable",
    "lease_duration",
    "data",
    "wrap_info",
    "warnings",
    "auth",
]


def body(response: Response, path: str = "kv/a", operation: Operation = Operation.READ) -> Any:
    return json.loads(answer_for(ID, operation, path, response).body)


def test_the_envelope_has_vaults_keys_in_vaults_order() -> None:
    found = body(Response(data={"a": 1}, warnings=["w"], lease_id="l/1", lease_seconds=5))
    assert list(found) == KEYS
    assert found == {
        "request_id": ID,
        "lease_id": "l/1",
        "renewable": False,
        "lease_duration": 5,
        "data": {"a": 1},
        "wrap_info": None,
        "warnings": ["w"],
        "auth": None,
    }


@pytest.mark.parametrize(
    ("operation", "response", "status"),
    [
        (Operation.READ, None, 404),
        (Operation.LIST, None, 404),
        (Operation.UPDATE, None, 204),
        (Operation.CREATE, None, 204),
        (Operation.DELETE, None, 204),
        (Operation.PATCH, None, 204),
        (Operation.UPDATE, Response(warnings=["w"]), 200),
        (Operation.READ, Response(data={}), 200),
        (Operation.LIST, Response(data={"keys": []}), 404),
        (Operation.LIST, Response(data={}), 404),
        (Operation.LIST, Response(data={"keys": [], "key_info": {}}), 200),
        (Operation.LIST, Response(data={"keys": []}, warnings=["w"]), 200),
        (Operation.LIST, Response(data={"keys": ["a"]}), 200),
        (Operation.READ, Response(data={"data": None}, status=404), 404),
    ],
)
def test_status_follows_operation_and_response(
    operation: Operation, response: Response | None, status: int
) -> None:
    answer = answer_for(ID, operation, "kv/a", response)
    assert answer.status == status
    if status == 404 and (response is None or not response.status):
        assert json.loads(answer.body) == {"errors": []}


def test_a_deleted_version_is_404_with_the_whole_envelope() -> None:
    response = Response(data={"data": None, "metadata": {"version": 1}}, status=404)
    assert body(response)["data"] == {"data": None, "metadata": {"version": 1}}


@pytest.mark.parametrize(
    ("path", "repeated"),
    [
        ("sys/mounts", True),
        ("sys/mounts/", True),
        ("sys/auth", True),
        ("sys/policy", True),
        ("sys/policy/default", True),
        ("sys/policies/acl/default", False),
        ("sys/capabilities-self", True),
        ("sys/audit", True),
        ("sys/audit-hash/file", True),
        ("sys/key-status", True),
        ("sys/mounts/kv/tune", True),
        ("kv/sys/mounts", False),
    ],
)
def test_data_is_repeated_at_the_top_for_the_old_paths_only(path: str, repeated: bool) -> None:
    found = body(Response(data={"keys": ["x"], "extra": {"y": 1}}), path)
    assert (found.get("keys") == ["x"] and found.get("extra") == {"y": 1}) is repeated
    assert found["data"]["keys"] == ["x"]


def test_nothing_to_repeat_leaves_the_envelope_whole() -> None:
    assert list(body(Response(data={}), "sys/audit")) == KEYS


def test_auth_has_vaults_fields() -> None:
    auth = Auth(
        client_token="hvs.x",
        accessor="acc",
        token_policies=["default", "a"],
        identity_policies=["z", "a"],
        metadata={"role_name": "r"},
        lease_seconds=60,
        entity_id="e",
        orphan=True,
        num_uses=2,
    )
    found = body(Response(auth=auth), "auth/approle/login", Operation.UPDATE)["auth"]
    assert found == {
        "client_token": "hvs.x",
        "accessor": "acc",
        "policies": ["a", "default", "z"],
        "token_policies": ["default", "a"],
        "identity_policies": ["a", "z"],
        "metadata": {"role_name": "r"},
        "lease_duration": 60,
        "renewable": True,
        "entity_id": "e",
        "token_type": "service",
        "orphan": True,
        "mfa_requirement": None,
        "num_uses": 2,
    }


def test_no_identity_policies_and_no_metadata_are_absent_and_null() -> None:
    found = body(Response(auth=Auth(token_policies=["root"])))["auth"]
    assert "identity_policies" not in found
    assert found["metadata"] is None


def test_values_come_back_with_the_digits_they_were_written_with() -> None:
    text = b'{"big":123456789012345678901234567890,"float":1.50,"exp":1e5,"int":1}'
    assert b'"data":' + text in envelope(ID, Response(data=gojson.loads(text)))
    plain = b'{"float":1.50,"int":1}'
    assert b'"data":' + plain in envelope(ID, Response(data=gojson.loads(plain)))


def test_ready_json_is_passed_on() -> None:
    response = Response(data={"data": msgspec.Raw(b'{"a":1.0}')})
    assert b'"data":{"data":{"a":1.0}}' in envelope(ID, response)


def test_a_raw_body_has_no_envelope() -> None:
    answer = answer_for(
        ID, Operation.READ, "sys/x", Response(raw_body=b"plain", raw_content_type="text/plain")
    )
    assert (answer.status, answer.body, answer.content_type) == (200, b"plain", b"text/plain")


def test_a_wrapped_answer_tells_its_token_and_neither_request_id_nor_content() -> None:
    info = WrapInfo("hvs.t", "acc", 300, 10**9 + 5, "kv/a", "inner")
    body = json.loads(envelope("id", Response(wrap_info=info)))
    assert (body["request_id"], body["data"], body["auth"]) == ("", None, None)
    assert body["wrap_info"] == {
        "token": "hvs.t",
        "accessor": "acc",
        "ttl": 300,
        "creation_time": "1970-01-01T00:00:01.000000005Z",
        "creation_path": "kv/a",
        "wrapped_accessor": "inner",
    }
    assert "hvs.t" not in repr(info)
    answer = answer_for("id", Operation.LIST, "kv/", Response(wrap_info=info))
    assert answer.status == 200
