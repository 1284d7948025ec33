"""The same requests to our backends and to a real OpenBao, answers compared.

Where OpenBao and Vault differ, Vault is the model (``tests/museum`` holds what it answered), and
where both answer a caller's mistake with 500 we say 400, because clients repeat a 500. Every such
difference is named below; anything else that differs fails.
"""

import base64
import json
import time
from pathlib import Path
from typing import Any
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import pytest

from tests.support.backend_stage import Stage, is_same, normal, without_token
from tests.support.openbao import OpenBao, running
from tests.support.opened import fresh_barrier
from zvault.base.gotime import SECOND_NS
from zvault.engine.backends import cubbyhole
from zvault.engine.backends.approle import backend as approle
from zvault.engine.backends.kv import v1 as kv1
from zvault.engine.backends.kv import v2 as kv2

Call = tuple[str, str, Any]
ROLE = "auth/approle/role"
ONLY_OPENBAO = {"metadata_cas_required", "current_metadata_version", "token_strictly_bind_ip"}
CUSTOM = "kv2/metadata/m"

KV: list[Call] = [
    ("POST", "kv2/metadata/a", {"delete_version_after": "1h"}),
    ("POST", "kv2/data/a", {"data": {"x": 1}}),
    ("DELETE", "kv2/data/a", None),
    ("GET", "kv2/metadata/a", None),
    ("POST", "kv2/undelete/a", {"versions": [1]}),
    ("GET", "kv2/metadata/a", None),
    ("POST", "kv2/delete/a", {"versions": "1,2"}),
    ("GET", "kv2/metadata/a", None),
    ("POST", "kv2/delete/a", {"versions": []}),
    ("POST", "kv2/delete/a", {"versions": [-1]}),
    ("POST", "kv2/delete/a", {"versions": ["1", "x"]}),
    ("POST", "kv2/data/n", {"data": None}),
    ("GET", "kv2/data/n", None),
    ("GET", "kv2/subkeys/n", None),
    ("PATCH", "kv2/data/n", {"data": {"a": 1}}),
    ("POST", "kv2/data/n", {"data": {"x": 1}, "options": {"cas": "6"}}),
    ("POST", "kv2/data/n", {"data": {"x": 1}, "options": {"cas": -1}}),
    ("POST", "kv2/data/n", {"data": {"x": 1}, "options": {"cas": 1.5}}),
    ("POST", "kv2/data/n", {"data": {"x": {"deep": {"er": 1}, "l": [1]}, "y": "z"}}),
    ("POST", "kv2/data/n", {"data": {"x": 1}, "options": "x"}),
    ("POST", "kv2/data/n", {"data": [1]}),
    *[("GET", f"kv2/subkeys/n?depth={depth}", None) for depth in (0, 1, 2, -1)],
    ("GET", "kv2/subkeys/n?version=1", None),
    ("GET", "kv2/data/n?version=-1", None),
    ("GET", "kv2/data/n?version=", None),
    ("GET", "kv2/data/n?version=x", None),
    ("PUT", "kv2/destroy/n", {"versions": [2]}),
    ("GET", "kv2/data/n?version=2", None),
    ("GET", "kv2/subkeys/n?version=2", None),
    ("PATCH", "kv2/data/n", {"data": {"a": 1}}),
    ("POST", "kv2/undelete/n", {"versions": [2]}),
    ("PUT", "kv2/destroy/n", {"versions": [8, 9]}),
    ("GET", "kv2/metadata/n", None),
    ("POST", "kv2/config", {"max_versions": "3", "delete_version_after": "-1s"}),
    ("GET", "kv2/config", None),
    ("POST", "kv2/config", {"delete_version_after": 0, "max_versions": 5}),
    ("POST", "kv2/config", {"delete_version_after": "x"}),
    ("POST", "kv2/config", {}),
    ("POST", "kv2/metadata/mv", {"max_versions": 2}),
    *[("POST", "kv2/data/mv", {"data": {"n": number}}) for number in range(7)],
    ("GET", "kv2/metadata/mv", None),
    ("POST", "kv2/config", {"max_versions": 2}),
    ("POST", "kv2/data/mv", {"data": {"n": 8}}),
    ("GET", "kv2/metadata/mv", None),
    ("POST", CUSTOM, {}),
    ("GET", CUSTOM, None),
    ("POST", CUSTOM, {"nope": 1}),
    ("POST", CUSTOM, {"max_versions": -2}),
    ("GET", CUSTOM, None),
    ("POST", CUSTOM, {"custom_metadata": {"a": "b"}}),
    ("POST", CUSTOM, {"custom_metadata": {}}),
    ("GET", CUSTOM, None),
    ("POST", CUSTOM, {"custom_metadata": {"a": "\x07"}}),
    ("POST", CUSTOM, {"custom_metadata": {"": "x"}}),
    ("POST", CUSTOM, {"custom_metadata": {"x": ""}}),
    ("POST", CUSTOM, {"custom_metadata": {"k": "v" * 600}}),
    ("POST", CUSTOM, {"custom_metadata": {str(number): "v" for number in range(65)}}),
    ("POST", CUSTOM, {"custom_metadata": {"a": True, "b": 1.5, "c": 7}}),
    ("PATCH", CUSTOM, {}),
    ("PATCH", CUSTOM, {"max_versions": 5, "cas_required": True, "custom_metadata": {"a": None}}),
    ("GET", CUSTOM, None),
    ("PATCH", CUSTOM, {"max_versions": None}),
    ("PATCH", CUSTOM, {"custom_metadata": None}),
    ("GET", CUSTOM, None),
    ("PATCH", "kv2/metadata/none", {"max_versions": 1}),
    ("POST", "kv2/data/p", {"data": {"x": None, "y": {"z": None}, "l": 1}}),
    ("PATCH", "kv2/data/p", {"data": {"l": [1, None, {"q": None, "r": 1}], "o": {"n": None}}}),
    ("GET", "kv2/data/p", None),
    ("PATCH", "kv2/data/p", {"data": None}),
    ("GET", "kv2/data/p", None),
    ("LIST", "kv2/metadata/", None),
    ("LIST", "kv2/metadata/none", None),
    ("LIST", "kv2/data/x", None),
    ("GET", "kv2/delete/n", None),
    ("DELETE", "kv2/config", None),
    ("POST", "kv2/subkeys/n", {}),
    ("DELETE", "kv2/metadata/n", None),
    ("GET", "kv2/metadata/n", None),
]
KV1: list[Call] = [
    ("POST", "kv1/x", {"ttl": 60}),
    ("GET", "kv1/x", None),
    ("POST", "kv1/x", {"lease": "1h", "ttl": "bad"}),
    ("GET", "kv1/x", None),
    ("POST", "kv1/x", {"ttl": -5}),
    ("GET", "kv1/x", None),
    ("PATCH", "kv1/x", {"a": 1}),
    ("DELETE", "kv1/none", None),
    ("POST", "kv1/x/y", {"a": [1, None, {"b": 2.5}]}),
    ("LIST", "kv1/", None),
    ("LIST", "kv1/x", None),
    ("PATCH", "cubbyhole/x", {"a": 1}),
    ("DELETE", "cubbyhole/none", None),
]
SUB_FIELDS = {
    "bind-secret-id": {"bind_secret_id": True},
    "secret-id-num-uses": {"secret_id_num_uses": 5},
    "secret-id-ttl": {"secret_id_ttl": 5},
    "token-num-uses": {"token_num_uses": 5},
    "token-ttl": {"token_ttl": 5},
    "token-max-ttl": {"token_max_ttl": 5},
    "policies": {"token_policies": "a,b"},
    "period": {"period": 5},
    "token-bound-cidrs": {"token_bound_cidrs": "127.0.0.1/32,10.0.0.0/8"},
    "secret-id-bound-cidrs": {"secret_id_bound_cidrs": "127.0.0.0/8"},
    "bound-cidr-list": {"bound_cidr_list": "127.0.0.0/8"},
}
APPROLE: list[Call] = [
    ("LIST", ROLE, None),
    ("POST", f"{ROLE}/Web", {}),
    ("LIST", ROLE, None),
    ("GET", f"{ROLE}/web", None),
    ("POST", f"{ROLE}/web", {"policies": "a,b", "period": "1h", "bound_cidr_list": "127.0.0.0/8"}),
    ("GET", f"{ROLE}/web", None),
    ("GET", f"{ROLE}/web/policies", None),
    ("GET", f"{ROLE}/web/period", None),
    ("POST", f"{ROLE}/web", {"token_policies": ["c"], "token_period": 0}),
    ("GET", f"{ROLE}/web", None),
    ("POST", f"{ROLE}/web", {"token_type": "default-service"}),
    ("POST", f"{ROLE}/web", {"token_type": "batch", "token_num_uses": 3}),
    ("POST", f"{ROLE}/web", {"secret_id_num_uses": -1}),
    ("POST", f"{ROLE}/web", {"token_num_uses": -1}),
    ("POST", f"{ROLE}/web", {"token_max_ttl": "100000h"}),
    ("POST", f"{ROLE}/web", {"token_max_ttl": 0}),
    ("POST", f"{ROLE}/web", {"local_secret_ids": True}),
    ("POST", f"{ROLE}/loc", {"local_secret_ids": True}),
    ("GET", f"{ROLE}/loc", None),
    ("POST", f"{ROLE}/bad", {"token_bound_cidrs": ["nope"]}),
    *[
        call
        for path, body in SUB_FIELDS.items()
        for call in (
            ("POST", f"{ROLE}/web/{path}", {}),
            ("POST", f"{ROLE}/web/{path}", body),
            ("GET", f"{ROLE}/web/{path}", None),
            ("DELETE", f"{ROLE}/web/{path}", None),
            ("GET", f"{ROLE}/web/{path}", None),
            ("GET", f"{ROLE}/none/{path}", None),
            ("POST", f"{ROLE}/none/{path}", body),
            ("DELETE", f"{ROLE}/none/{path}", None),
        )
    ],
    ("POST", f"{ROLE}/w2", {"role_id": "fixed"}),
    ("POST", f"{ROLE}/web/role-id", {"role_id": "fixed"}),
    ("POST", f"{ROLE}/web/role-id", {"role_id": ""}),
    ("DELETE", f"{ROLE}/web/role-id", None),
    ("POST", f"{ROLE}/w2/secret-id", None),
    ("POST", f"{ROLE}/w2/secret-id", {"metadata": "k=v,k2=v2"}),
    ("POST", f"{ROLE}/w2/secret-id", {"metadata": "nope"}),
    ("POST", f"{ROLE}/w2/secret-id", {"metadata": '{"a":1}'}),
    ("POST", f"{ROLE}/w2/secret-id", {"num_uses": -1}),
    ("POST", f"{ROLE}/w2/secret-id", {"ttl": "100000h"}),
    ("POST", f"{ROLE}/w2", {"secret_id_num_uses": 3, "secret_id_ttl": "10m"}),
    ("POST", f"{ROLE}/w2/secret-id", {"num_uses": 0}),
    ("POST", f"{ROLE}/w2/secret-id", {"num_uses": 4}),
    ("POST", f"{ROLE}/w2/secret-id", {"num_uses": 2}),
    ("POST", f"{ROLE}/w2/secret-id", {"ttl": "11m"}),
    ("POST", f"{ROLE}/none/secret-id", {}),
    ("POST", f"{ROLE}/none/custom-secret-id", {"secret_id": "x"}),
    ("POST", f"{ROLE}/w2/custom-secret-id", {}),
    ("POST", f"{ROLE}/w2/custom-secret-id", {"secret_id": "mine", "num_uses": 2}),
    ("POST", f"{ROLE}/w2/custom-secret-id", {"secret_id": "mine"}),
    ("LIST", f"{ROLE}/none/secret-id", None),
    ("LIST", f"{ROLE}/loc/secret-id", None),
    ("POST", f"{ROLE}/w2/secret-id/lookup", {"secret_id": "mine"}),
    ("POST", f"{ROLE}/w2/secret-id/lookup", {"secret_id": "nope"}),
    ("POST", f"{ROLE}/w2/secret-id/lookup", {}),
    ("POST", f"{ROLE}/none/secret-id/lookup", {"secret_id": "x"}),
    ("POST", f"{ROLE}/none/secret-id/destroy", {"secret_id": "x"}),
    ("DELETE", f"{ROLE}/w2/secret-id/destroy?secret_id=nope", None),
    ("POST", f"{ROLE}/w2/secret-id-accessor/lookup", {}),
    ("POST", f"{ROLE}/w2/secret-id-accessor/lookup", {"secret_id_accessor": "nope"}),
    ("POST", f"{ROLE}/w2/secret-id-accessor/destroy", {"secret_id_accessor": "nope"}),
    ("POST", f"{ROLE}/none/secret-id-accessor/lookup", {"secret_id_accessor": "x"}),
    ("POST", "auth/approle/login", {"role_id": "fixed", "secret_id": "mine"}),
    ("POST", "auth/approle/login", {"role_id": " fixed ", "secret_id": " mine "}),
    ("POST", "auth/approle/login", {"role_id": "fixed", "secret_id": "mine"}),
    ("POST", "auth/approle/login", {"role_id": "fixed"}),
    ("POST", "auth/approle/login", {"role_id": "nope", "secret_id": "x"}),
    ("POST", f"{ROLE}/w2", {"secret_id_bound_cidrs": "10.0.0.0/8"}),
    ("POST", f"{ROLE}/w2/custom-secret-id", {"secret_id": "far", "cidr_list": "10.1.0.0/16"}),
    ("POST", "auth/approle/login", {"role_id": "fixed", "secret_id": "far"}),
    ("POST", f"{ROLE}/open", {"bind_secret_id": False, "token_bound_cidrs": "127.0.0.1/32"}),
    ("POST", f"{ROLE}/open/secret-id", {}),
    ("DELETE", f"{ROLE}/open/token-bound-cidrs", None),
    ("POST", f"{ROLE}/open/role-id", {"role_id": "openid"}),
    ("POST", "auth/approle/login", {"role_id": "openid"}),
    ("POST", f"{ROLE}/a.b-c_d", {}),
    ("POST", f"{ROLE}/-bad", {}),
    ("GET", f"{ROLE}/", None),
    ("GET", "auth/approle/nope", None),
    ("PATCH", f"{ROLE}/web", {}),
    ("DELETE", f"{ROLE}/w2", None),
    ("GET", f"{ROLE}/w2", None),
    ("POST", "auth/approle/login", {"role_id": "fixed", "secret_id": "mine"}),
]


ON_PURPOSE = {
    ("auth/approle/login", "far"): "two wordings for one refusal, one of them with a broken format",
}
"""(path, secret id) of calls whose answers differ, and why."""


class Real:
    """The OpenBao side."""

    def __init__(self, server: OpenBao) -> None:
        self.server = server
        status, init = server.request(
            "PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}
        )
        assert status == 200
        self.token = init["root_token"]
        key = base64.b64decode(init["keys_base64"][0]).hex()
        server.request("PUT", "sys/unseal", {"key": key})
        deadline = time.monotonic() + 20
        while server.request("GET", "sys/health")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for path, kind in (("kv1", "kv"), ("kv2", "kv-v2")):
            assert self.call("POST", f"sys/mounts/{path}", {"type": kind})[0] == 204
        assert self.call("POST", "sys/auth/approle", {"type": "approle"})[0] == 204
        while self.call("GET", "kv2/config", None)[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def call(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        headers = {"X-Vault-Token": self.token}
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        made = HttpRequest(
            f"{self.server.address}/v1/{path}",
            method=method,
            headers=headers,
            data=None if body is None else json.dumps(body).encode(),
        )
        try:
            with urlopen(made, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except OSError as error:
            if not hasattr(error, "read"):
                raise
            with error:  # type: ignore[attr-defined]
                return error.code, json.loads(error.read() or b"null")  # type: ignore[attr-defined]


def without_extras(value: Any) -> Any:
    """Fields only OpenBao has; times that only OpenBao moves on metadata writes compare as text."""
    if isinstance(value, dict):
        return {k: without_extras(v) for k, v in value.items() if k not in ONLY_OPENBAO}
    return value


@pytest.mark.parametrize("calls", [KV, KV1, APPROLE], ids=["kv2", "kv1", "approle"])
async def test_answers_are_those_of_openbao(calls: list[Call], tmp_path: Path) -> None:
    stage, barrier = Stage({"auth/approle/": 87_600 * 3600 * SECOND_NS}), await fresh_barrier()
    await stage.mount(barrier, "kv1/", "kv", kv1.make)
    await stage.mount(barrier, "kv2/", "kv", kv2.make, "2")
    await stage.mount(barrier, "cubbyhole/", "cubbyhole", cubbyhole.make)
    await stage.mount(barrier, "auth/approle/", "approle", approle.make)
    differences = []
    with running(tmp_path, tmp_path / "data") as server:
        real = Real(server)
        for method, path, body in calls:
            step = {
                "method": method,
                "path": path,
                "body": body,
                "token": "root",
                "headers": {"Content-Type": "application/merge-patch+json"},
            }
            status, answer = await stage.play(step)
            ours = status, without_token(normal(answer))
            theirs_status, theirs_answer = real.call(method, path, body)
            theirs = theirs_status, without_extras(without_token(normal(theirs_answer)))
            if (path, (body or {}).get("secret_id")) in ON_PURPOSE:
                assert ours[0] == theirs[0]
            elif not is_same(ours, theirs):
                differences.append((method, path, body, ours, theirs))
    assert not differences, "\n".join(str(difference) for difference in differences)
