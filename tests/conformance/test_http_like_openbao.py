"""The same HTTP to the embedded server and to a real OpenBao 2.6.2: the same answers.

Compared are status, content type and the body with its volatile values masked. Where the two differ
on purpose, the row says why.
"""

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from launcher.ports import free_port
from tests.support.engine_server import EngineServer, start_server
from tests.support.openbao import OpenBao
from tests.support.real import require

pytestmark = pytest.mark.real("openbao-2.6.2")
VOLATILE = re.compile(
    r"request_id|accessor|uuid|.*_time|.*_time_utc|client_token|entity_id|id|creation_time|version"
    r"|random_bytes|reload_id|running_plugin_version|plugin_version|cluster_(name|id)|nonce|expire_time|ttl"
)
ONLY_OPENBAO = {
    "allow_slashes_in_identity_templates",
    "allow_wildcards_in_identity_templates",
    "allow_credentials",
    "declarative",
    "metadata_cas_required",
    "modified",
    "oci",
}
"""Fields that Vault does not have."""
POLICY = ("/v1/sys/policies/acl/narrow", "/v1/sys/policy/narrow")
"""There, OpenBao also has ``cas_required`` and ``version``."""
MERGE_PATCH = "application/merge-patch+json"


@dataclass
class Side:
    """One server and its root token."""

    name: str
    port: int
    token: str

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, str, Any]:
        """Status, content type, body (masked when JSON)."""
        sent = {"X-Vault-Token": self.token, **(headers or {})}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body or None, {k: v for k, v in sent.items() if v})
            answer = connection.getresponse()
            text = answer.read()
            content_type = answer.headers.get("Content-Type", "")
        if answer.status == 204:
            return 204, "", None  # OpenBao names a content type for no content
        if content_type == "application/json" and text:
            found = masked(json.loads(text))
            if path in POLICY:
                found = without(found, "cas_required", "version")
            return answer.status, content_type, found
        return answer.status, content_type, text.decode()


def masked(value: Any) -> Any:
    """The value with what differs from run to run replaced by its type."""
    if isinstance(value, dict):
        return {
            key: type(inner).__name__ if VOLATILE.fullmatch(key) else masked(inner)
            for key, inner in sorted(value.items())
            if key not in ONLY_OPENBAO
        }
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    return value


def without(body: dict[str, Any], *keys: str) -> dict[str, Any]:
    """A body without some of the fields of its data, which may be repeated at the top."""
    inner = {key: value for key, value in body["data"].items() if key not in keys}
    return {key: value for key, value in body.items() if key not in keys} | {"data": inner}


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    require("openbao-2.6.2")
    root = tmp_path_factory.mktemp("bao")
    data = root / "data"
    data.mkdir()
    bao = OpenBao(root, data, free_port())
    bao.start()
    engine = start_server(
        tmp_path_factory.mktemp("engine"), storage='storage "file" { path = "data" }'
    )
    try:
        engine.initialize()
        theirs = EngineServer(root, bao.address, engine.process)
        theirs.initialize()
        pair = (
            Side("engine", int(engine.address.rpartition(":")[2]), engine.token),
            Side("openbao", bao.port, theirs.token),
        )
        for side in pair:
            for path, version in (("one", "1"), ("two", "2")):
                mount = {"type": "kv", "options": {"version": version}}
                side.ask("POST", f"/v1/sys/mounts/{path}", json.dumps(mount).encode())
            policy = {"policy": 'path "one/open" { capabilities = ["read"] }'}
            side.ask("PUT", "/v1/sys/policies/acl/narrow", json.dumps(policy).encode())
            side.ask("POST", "/v1/one/open", b'{"n":1,"f":1.50,"s":"<&>"}')
            side.ask("POST", "/v1/two/data/a", b'{"data":{"k":"v"}}')
        yield pair
    finally:
        bao.stop()
        assert engine.stop() == 0


def row(method: str, path: str, body: str | bytes = b"", **headers: str) -> Any:
    raw = body.encode() if isinstance(body, str) else body
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return pytest.param(method, path, raw, names, id=f"{method} {path} {body!r} {names or ''}"[:90])


SAME = [
    row("GET", "/v1/one/open"),
    row("GET", "/v1/one/absent"),
    row("GET", "/v1/one?list=true"),
    row("GET", "/v1/one?list=maybe"),
    row("LIST", "/v1/one"),
    row("LIST", "/v1/one/"),
    row("LIST", "/v1/one/absent"),
    row("GET", "/v1/two/data/a"),
    row("GET", "/v1/two/data/a?version=1"),
    row("GET", "/v1/two/data/a?version=7"),
    row("GET", "/v1/two/data/absent"),
    row("LIST", "/v1/two/metadata"),
    row("GET", "/v1/two/config"),
    row("POST", "/v1/one/x", "null"),
    row("POST", "/v1/one/x", ""),
    row("POST", "/v1/one/x/", '{"a":1}'),
    row("POST", "/v1/one/form", "a=1&b=2", Content_Type="application/x-www-form-urlencoded"),
    row("PUT", "/v1/one/y", '{"a":1}', Content_Type="text/plain"),
    row("DELETE", "/v1/one/y"),
    row("DELETE", "/v1/one/never"),
    row("PATCH", "/v1/two/data/a", "{}", Content_Type="application/json"),
    row("PATCH", "/v1/two/data/a", "{}", Content_Type=MERGE_PATCH),
    row("PATCH", "/v1/one/open", "{}", Content_Type=MERGE_PATCH),
    row("POST", "/v1/two/data/b", "{}"),
    row("POST", "/v1/two/data/b", '{"data":{},"options":{"cas":5}}'),
    row("GET", "/v1/one/open", X_Vault_Token=""),
    row("GET", "/v1/one/open", X_Vault_Token="nonsense"),
    row("GET", "/v1/nomount/x"),
    row("GET", "/v1/nomount/x", X_Vault_Token=""),
    row("GET", "/v1/"),
    row("GET", "/v1"),
    row("GET", "/v2/x"),
    row("PUT", "/v1/one/%2e%2e/sys/mounts"),
    row("LIST", "/v1/one/x%2F..%2Fy"),
    row("BREW", "/v1/one/open"),
    row("HEAD", "/v1/one/open"),
    row("GET", "/v1/one/open", X_Vault_Wrap_TTL="-5"),
    row("GET", "/v1/sys/seal", ""),
    row("DELETE", "/v1/sys/init"),
    row("POST", "/v1/sys/health"),
    row("GET", "/v1/sys/health?standbyok=xx"),
    row("GET", "/v1/sys/health?activecode=xx"),
    row("GET", "/v1/sys/init"),
    row("PUT", "/v1/sys/init", '{"secret_shares":1,"secret_threshold":1}'),
    row("PUT", "/v1/sys/unseal", '{"reset":true}'),
    row("PUT", "/v1/sys/unseal", "{}"),
    row("PUT", "/v1/sys/seal", X_Vault_Token=""),
    row("PUT", "/v1/sys/seal", X_Vault_Token="nonsense"),
    row("PUT", "/v1/sys/step-down"),
    row("GET", "/v1/sys/metrics", X_Vault_Token=""),
    row("GET", "/v1/sys/metrics?format=xx"),
    row("GET", "/v1/sys/policies/acl/narrow"),
    row("GET", "/v1/sys/policies/acl/absent"),
    row("GET", "/v1/sys/policy/narrow"),
    row("GET", "/v1/sys/policies/acl"),
    row("GET", "/v1/sys/mounts/absent"),
    row("POST", "/v1/sys/mounts/bad", '{"type":"nothing"}'),
    row("POST", "/v1/sys/mounts/one", '{"type":"kv"}'),
    row("POST", "/v1/sys/mounts/sys/x", '{"type":"kv"}'),
    row("POST", "/v1/sys/capabilities-self", '{"paths":["one/open"]}'),
    row("POST", "/v1/sys/capabilities-self", "{}"),
    row("GET", "/v1/sys/audit"),
    row("GET", "/v1/auth/token/lookup-self", X_Vault_Token="nonsense"),
    row("POST", "/v1/auth/token/lookup", '{"token":"nonsense"}'),
    row("POST", "/v1/auth/token/create", '{"policies":["narrow"],"ttl":"1h"}'),
    row("POST", "/v1/auth/token/create", '{"ttl":"soon"}'),
    row("POST", "/v1/auth/token/create", '{"policies":"a,b"}'),
    row("POST", "/v1/one/x", '{"a":1}{"b":2}'),
    row("POST", "/v1/sys/mounts/one/tune", '{"default_lease_ttl":"nonsense"}'),
    row("POST", "/v1/sys/mounts/one/tune", '{"listing_visibility":"bogus"}'),
    row("POST", "/v1/sys/remount", '{"to":"x"}'),
    row("POST", "/v1/sys/remount", '{"from":"sys","to":"x"}'),
    row("POST", "/v1/sys/remount", '{"from":"auth/token","to":"auth/x"}'),
    row("POST", "/v1/sys/remount", '{"from":"one","to":"one"}'),
    row("POST", "/v1/sys/remount", '{"from":"one","to":"sys/x"}'),
    row("POST", "/v1/sys/remount", '{"from":"one","to":"cubbyhole/x"}'),
    row("POST", "/v1/sys/remount", '{"from":"one","to":"auth/x"}'),
    row("POST", "/v1/sys/remount", '{"from":"auth/token","to":"x"}'),
    row("GET", "/v1/auth/token/roles/absent"),
    row("LIST", "/v1/auth/token/roles"),
    row("POST", "/v1/auth/absent/login", "{}", X_Vault_Token=""),
    row("GET", "/v1/sys/internal/ui/mounts/absent/x"),
    row("GET", "/v1/sys/internal/ui/namespaces"),
    row("GET", "/v1/sys/version-history"),
    row("GET", "/v1/sys/raw/core/mounts"),
    row("GET", "/v1/sys/plugins/catalog/auth/approle"),
    row("GET", "/v1/sys/plugins/catalog/auth/absent"),
    row("GET", "/v1/sys/plugins/catalog/absent/approle"),
    row("GET", "/v1/sys/plugins/catalog/approle"),
    row("GET", "/v1/sys/plugins/catalog/auth"),
    row("LIST", "/v1/sys/plugins/catalog/absent"),
    row("POST", "/v1/sys/plugins/catalog/secret/x", "{}"),
    row("DELETE", "/v1/sys/plugins/catalog/secret/x"),
    row("PUT", "/v1/sys/plugins/reload/backend", "{}"),
    row("PUT", "/v1/sys/plugins/reload/backend", '{"mounts":["sys/"]}'),
    row("POST", "/v1/sys/config/cors", "{}"),
    row("POST", "/v1/sys/config/cors", '{"allowed_origins":"*,http://x"}'),
    row("GET", "/v1/sys/config/cors"),
    row("GET", "/v1/sys/config/ui/headers"),
    row("GET", "/v1/sys/config/ui/headers/X-Absent"),
    row("POST", "/v1/sys/config/ui/headers/X-Vault-Mine", '{"values":["a"]}'),
    row("POST", "/v1/sys/config/ui/headers/X-Empty", "{}"),
    row("POST", "/v1/sys/config/ui/headers/X-Mine", '{"values":["a","b"]}'),
    row("DELETE", "/v1/sys/config/ui/headers/X-Absent"),
    row("LIST", "/v1/sys/quotas/rate-limit"),
    row("GET", "/v1/sys/quotas/rate-limit/absent"),
    row("POST", "/v1/sys/quotas/rate-limit/bad", '{"rate":-1}'),
    row("POST", "/v1/sys/quotas/rate-limit/bad", "{}"),
    row("POST", "/v1/sys/quotas/rate-limit/bad", '{"rate":1,"path":"absent/"}'),
    row("POST", "/v1/sys/quotas/rate-limit/bad", '{"rate":1,"path":"one/","role":"x"}'),
    row("POST", "/v1/sys/quotas/rate-limit/bad", '{"rate":1,"role":"x"}'),
    row("DELETE", "/v1/sys/quotas/rate-limit/absent"),
    row("GET", "/v1/sys/quotas/config"),
    row("GET", "/v1/sys/quotas/lease-count/x"),
    row("POST", "/v1/sys/tools/random/seal/8", "{}"),
    row("POST", "/v1/sys/tools/random/x", "{}"),
    row("POST", "/v1/sys/tools/random", '{"bytes":200000}'),
    row("POST", "/v1/sys/tools/random", '{"format":"q"}'),
    row("POST", "/v1/sys/tools/hash/sha3-256", '{"input":"aGVsbG8="}'),
    row("POST", "/v1/sys/tools/hash/absent", '{"input":"aGVsbG8="}'),
    row("POST", "/v1/sys/tools/hash", '{"input":"aGVsbG8=","format":"x"}'),
    row("GET", "/v1/sys/tools/hash"),
    row("POST", "/v1/sys/auth/token/tune", '{"token_type":"batch"}'),
    row("POST", "/v1/sys/mounts/k5", '{"type":"system"}'),
    row("POST", "/v1/sys/mounts/k5", '{"type":"cubbyhole"}'),
    row("POST", "/v1/sys/auth/k5", '{"type":"token"}'),
    row("POST", "/v1/sys/mounts/k6", '{"type":"approle"}'),
    row("POST", "/v1/sys/mounts/k3", '{"type":"kv","config":{"default_lease_ttl":"9999999h"}}'),
    row(
        "POST",
        "/v1/sys/mounts/k3",
        '{"type":"kv","config":{"default_lease_ttl":"2h","max_lease_ttl":"1h"}}',
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "headers"), SAME)
def test_the_same_request_has_the_same_answer(
    sides: tuple[Side, Side], method: str, path: str, body: bytes, headers: dict[str, str]
) -> None:
    engine, openbao = (side.ask(method, path, body, headers) for side in sides)
    assert engine == openbao


DIFFERENT = [
    pytest.param(
        "POST",
        "/v1/one/x",
        b'{"a":1',
        (400, "error parsing JSON"),
        (400, "failed to decode JSON input: unexpected EOF"),
        id="Vault's words for broken JSON",
    ),
    pytest.param(
        "GET",
        "/v1/one/a..b",
        b"",
        (400, "relative paths not supported"),
        (500, "1 error occurred:\n\t* read failed: path cannot contain parent references\n\n"),
        id="a caller's mistake is no 500, because clients repeat a 500",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "ours", "theirs"), DIFFERENT)
def test_what_differs_on_purpose(
    sides: tuple[Side, Side],
    method: str,
    path: str,
    body: bytes,
    ours: tuple[int, str],
    theirs: tuple[int, str],
) -> None:
    for side, (status, text) in zip(sides, (ours, theirs), strict=True):
        assert side.ask(method, path, body)[::2] == (status, {"errors": [text]})


def test_stepping_down_needs_a_token_here(sides: tuple[Side, Side]) -> None:
    """OpenBao without HA says 204 to anybody; Vault, and we, look at the token first."""
    found = [
        side.ask("PUT", "/v1/sys/step-down", headers={"X-Vault-Token": ""})[0] for side in sides
    ]
    assert found == [403, 204]


def test_raw_endpoints_have_vaults_fields_where_openbao_has_them(sides: tuple[Side, Side]) -> None:
    for path, only_ours, only_theirs in [
        ("health", {"performance_standby"}, set()),
        ("seal-status", {"build_date"}, {"commit_date"}),
    ]:
        ours, theirs = (side.ask("GET", f"/v1/sys/{path}")[2] for side in sides)
        assert set(ours) - set(theirs) == only_ours
        assert set(theirs) - set(ours) == only_theirs
        common = set(ours) & set(theirs)
        assert {key: ours[key] for key in common} == {key: theirs[key] for key in common}


NUMBERS = ["1.5", "60.0", "1e3", "1e300", "9223372037", "92233720368547758080", "9223372036", "60"]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/auth/token/create", '{"ttl":%s}'),
        ("/v1/auth/token/create", '{"explicit_max_ttl":%s}'),
        ("/v1/auth/token/create", '{"period":%s}'),
        ("/v1/auth/token/roles/odd", '{"token_period":%s}'),
        ("/v1/auth/token/roles/odd", '{"token_num_uses":%s}'),
        ("/v1/auth/token/roles/odd", '{"orphan":%s}'),
        ("/v1/sys/mounts/odd", '{"type":"kv","config":{"default_lease_ttl":%s}}'),
    ],
)
def test_a_number_that_is_no_duration_is_refused_by_both(
    sides: tuple[Side, Side], path: str, body: str, number: str
) -> None:
    """A TTL beyond Go's 64 bits, once stored, would be read by no other server."""
    found = [side.ask("POST", path, (body % number).encode())[0] for side in sides]
    for side in sides:
        side.ask("DELETE", "/v1/sys/mounts/odd")
    assert found[0] == found[1]
    assert found[0] in (200, 204, 400)
