"""The scripted requests, by area, in order; each area finds the servers as the last one left them.

Captured names (``{t1}``) stand for what each server answered itself. The lists of transit, KV,
AppRole, userpass, JWT and identity belong to the tests of those areas and are asked here over HTTP,
through everything that stands in front of a backend.
"""

import json
from pathlib import Path
from typing import Any

from tests.conformance import test_kv_and_approle_like_openbao as storage_areas
from tests.conformance import test_logins_like_openbao as login_areas
from tests.conformance import test_transit_like_openbao as transit_area
from tests.conformance.differential.sides import Call

RECORDED = Path(__file__).parents[2] / "museum" / "transcripts" / "vault-api.json"
PKI_ROOT, ROTATE_ROOT = "pki/root", "sys/rotate/root"
WRAP = (("X-Vault-Wrap-TTL", "60"),)


def call(
    method: str,
    path: str,
    body: Any = None,
    token: str | None = "root",
    *,
    raw: str | None = None,
    wrap: bool = False,
    **capture: str,
) -> Call:
    """One request; keywords name what to keep of the answer."""
    return Call(method, path, body, token, WRAP if wrap else (), raw, tuple(capture.items()))


def recorded() -> list[tuple[Call, dict[str, Any]]]:
    """The requests that a real Vault was asked, with what is known of its answers."""
    steps = json.loads(RECORDED.read_text())["steps"]
    return [
        (
            Call(
                step["method"],
                step["path"],
                step["body"],
                step["token"],
                tuple((step.get("headers") or {}).items()),
                step.get("raw"),
                tuple((step.get("capture") or {}).items()),
            ),
            step,
        )
        for step in steps
    ]


CREATE, LOOKUP, SELF = "auth/token/create", "auth/token/lookup", "auth/token/lookup-self"
ROLES = "auth/token/roles"
NARROW = 'path "kv1/app/*" { capabilities = ["create", "read", "update", "list"] }'
MAKER = 'path "auth/token/create*" { capabilities = ["update", "sudo"] }'
TOKENS = [
    call("PUT", "sys/policies/acl/narrow", {"policy": NARROW}),
    call("PUT", "sys/policies/acl/maker", {"policy": MAKER}),
    call("POST", CREATE, {"policies": ["narrow"], "ttl": "1h"}, t1="auth.client_token"),
    call("GET", SELF, token="t1"),
    call("POST", LOOKUP, {"token": "{t1}"}),
    *[
        call("POST", CREATE, body)
        for body in (
            {"policies": "narrow,maker"},
            {"policies": ["narrow", "narrow", "default"]},
            {"policies": ["NARROW "]},
            {"policies": [1]},
            {"policies": {"a": 1}},
            {"no_default_policy": True, "policies": ["narrow"]},
            {"no_default_policy": True},
            {"ttl": 60, "explicit_max_ttl": 30},
            {"explicit_max_ttl": "2h"},
            {"period": "30m", "explicit_max_ttl": "1h"},
            {"period": -5},
            {"renewable": False},
            {"renewable": "yes"},
            {"num_uses": 3},
            {"num_uses": "3"},
            {"num_uses": 1.5},
            {"num_uses": -1},
            {"display_name": "a b/c"},
            {"display_name": 5},
            {"meta": {"a": "b"}},
            {"meta": {"a": 1}},
            {"meta": "a=b"},
            {"type": "batch", "ttl": "1m"},
            {"type": "batch", "num_uses": 2},
            {"type": "batch", "explicit_max_ttl": "1h"},
            {"type": "batch", "renewable": True},
            {"type": "batch", "id": "mine"},
            {"type": "SERVICE"},
            {"type": "default-service"},
            {"id": "a/b"},
            {"id": "s.nope"},
            {"id": "hvs.nope"},
            {"entity_alias": "x"},
            {"no_parent": True, "policies": ["narrow"]},
            {"policies": ["root"], "ttl": "1h"},
            {"policies": ["root"], "period": "1h"},
            {"policies": ["root", "narrow"]},
            {"lease": "10m"},
            {"lease": "x"},
            {"unknown": 1},
        )
    ],
    call("POST", CREATE, {"policies": ["maker", "narrow"], "ttl": "2h"}, mk="auth.client_token"),
    *[
        call("POST", path, body, "mk")
        for path in (CREATE, f"{CREATE}-orphan")
        for body in (
            {},
            {"policies": ["narrow"]},
            {"policies": ["root"]},
            {"policies": ["other"]},
            {"id": "mine2"},
            {"no_parent": True},
            {"period": "1h"},
            {"type": "batch"},
            {"ttl": "9h"},
        )
    ],
    call("POST", f"{CREATE}-orphan", {"policies": ["narrow"]}, "t1"),
    *[
        item
        for name, body in (
            ("plain", {}),
            ("list", {"allowed_policies": "narrow,maker", "disallowed_policies": "root"}),
            ("globs", {"allowed_policies_glob": "nar*", "disallowed_policies_glob": "narx*"}),
            ("orphan", {"orphan": True, "renewable": False, "path_suffix": "deep/er"}),
            ("period", {"token_period": "1h", "token_explicit_max_ttl": "3h"}),
            ("batch", {"token_type": "batch"}),
            ("badtype", {"token_type": "nope"}),
            ("defb", {"token_type": "default-batch"}),
            ("uses", {"token_num_uses": 4}),
            ("cidr", {"token_bound_cidrs": "127.0.0.0/8"}),
            ("far", {"token_bound_cidrs": ["10.0.0.0/8"]}),
            ("badcidr", {"token_bound_cidrs": "nope"}),
            ("badsuffix", {"path_suffix": "../x"}),
            ("nodef", {"token_no_default_policy": True, "allowed_policies": ["narrow"]}),
            ("aliases", {"allowed_entity_aliases": ["a*", "b"]}),
            ("old", {"period": "5m", "explicit_max_ttl": 600, "bound_cidrs": "127.0.0.1"}),
        )
        for item in (
            call("POST", f"{ROLES}/{name}", body),
            call("GET", f"{ROLES}/{name}"),
            call("POST", f"{CREATE}/{name}", {}, made="auth.client_token"),
            call("POST", LOOKUP, {"token": "{made}"}),
            call("GET", SELF, token="made"),
            call("POST", f"{CREATE}/{name}", {"policies": ["narrow"], "ttl": "4h"}),
            call("POST", f"{CREATE}/{name}", {"policies": ["narxx"]}),
            call("POST", f"{CREATE}/{name}", {"policies": ["root"]}),
            call("POST", f"{CREATE}/{name}", {"policies": ["narrow"]}, "mk"),
            call("POST", f"{CREATE}/{name}", {"policies": ["narrow"]}, "t1"),
            call("POST", f"{CREATE}/{name}", {"type": "service", "entity_alias": "ab"}),
            call("DELETE", f"{ROLES}/{name}"),
        )
    ],
    call("GET", ROLES),
    call("LIST", ROLES),
    call("POST", f"{ROLES}/-x", {}),
    call("DELETE", f"{ROLES}/none"),
    call(
        "POST",
        CREATE,
        {"policies": ["narrow"], "ttl": "1h"},
        a="auth.accessor",
        c="auth.client_token",
    ),
    *[
        call("POST", f"auth/token/{verb}-accessor", body)
        for verb in ("lookup", "renew", "revoke")
        for body in ({}, {"accessor": "nope"}, {"accessor": 5})
    ],
    call("POST", "auth/token/renew-accessor", {"accessor": "{a}", "increment": "30m"}),
    call("POST", "auth/token/lookup-accessor", {"accessor": "{a}"}),
    call("POST", "auth/token/renew", {"token": "{c}", "increment": -1}),
    call("POST", "auth/token/renew", {"token": "{c}", "increment": "x"}),
    call("POST", "auth/token/renew", {}),
    call("POST", "auth/token/renew/{c}", {}),
    call("GET", f"{LOOKUP}/{{c}}"),
    call("GET", f"{LOOKUP}?token={{c}}"),
    call("POST", "auth/token/renew-self", {"increment": 5}, "c"),
    call("POST", "auth/token/renew-self", {}, None),
    call("POST", "auth/token/renew-self", {}, "bogus"),
    call("POST", LOOKUP, {"token": "{mk}"}, "c"),
    call("POST", "auth/token/revoke", {"token": "{mk}"}, "c"),
    call("POST", "auth/token/revoke-accessor", {"accessor": "{a}"}),
    call("GET", SELF, token="c"),
    call("POST", "auth/token/revoke", {}),
    call("POST", "auth/token/revoke-orphan", {"token": "nope"}),
    call("POST", "auth/token/revoke-orphan", {"token": "{mk}"}, "t1"),
    call("POST", CREATE, {"policies": ["narrow"]}, "mk", kid="auth.client_token"),
    call("POST", "auth/token/revoke-orphan", {"token": "{mk}"}),
    call("GET", SELF, token="mk"),
    call("GET", SELF, token="kid"),
    call(
        "POST",
        CREATE,
        {"policies": ["narrow"], "type": "batch", "ttl": "1h"},
        b="auth.client_token",
    ),
    call("GET", SELF, token="b"),
    call("POST", LOOKUP, {"token": "{b}"}),
    call("POST", "auth/token/renew", {"token": "{b}"}),
    call("POST", "auth/token/renew-self", {}, "b"),
    call("POST", "auth/token/revoke", {"token": "{b}"}),
    call("POST", "auth/token/revoke-self", {}, "b"),
    call("POST", CREATE, {}, "b"),
    call("POST", "kv1/app/batch", {"a": 1}, "b"),
    call("GET", "kv1/app/batch", token="b"),
    call("GET", "cubbyhole/x", token="b"),
    call("POST", "cubbyhole/x", {"a": 1}, "b"),
    call("GET", "auth/token/nope"),
    call("POST", "auth/token/revoke-self", {}, "t1"),
    call("GET", SELF, token="t1"),
]
CAPABILITY_PATHS = ["kv1/app/x", "kv1/app", "kv1/none", "sys/mounts", "a b"]
POLICIES = [
    *[
        item
        for number, text in enumerate(
            (
                'path "kv1/a" { capabilities = ["read"] }',
                'path "kv1/a*" { capabilities = ["read", "deny"] }',
                'path "kv1/+/x" { capabilities = ["list"] }',
                'path "kv1/+/y*" { policy = "write" }',
                'path "kv1/x" { policy = "nope" }',
                'path "kv1/x" { capabilities = "read" }',
                'path "kv1/x" { capabilities = ["patch", "sudo", "root"] }',
                'path "kv1/x" { capabilities = ["read"] min_wrapping_ttl = 9 max_wrapping_ttl = 8}',
                'path "kv1/x" { capabilities = ["read"] min_wrapping_ttl = "x" }',
                'path "kv1/x" { capabilities = ["create"] allowed_parameters = { "a" = ["b"] } }',
                'path "kv1/x" { capabilities = ["create"] required_parameters = ["a"] }',
                'path "kv1/x" { capabilities = ["create"] denied_parameters = "a" }',
                'path "secret/{{identity.entity.id}}/*" { capabilities = ["read"] }',
                'path "x/{{nope}}" { capabilities = ["read"] }',
                'path "a" { capabilities = ["read"] } path "a" { capabilities = ["deny"] }',
                'name = "x" path "a" {}',
                'path "a" { capabilities = ["read"] comment = "x" }',
                'path "" { capabilities = ["read"] }',
                'path "/kv1/x" { capabilities = ["read"] }',
                'path "a+b" { capabilities = ["read"] }',
                'path "a/+*" { capabilities = ["read"] }',
                "# only a comment",
                "path = 5",
                "{}",
                '{"path": {"a": {"capabilities": ["read"]}}}',
                '{"path": [{"a": {"policy": "read"}}]}',
                "\t",
            )
        )
        for item in (
            call("PUT", f"sys/policies/acl/p{number}", {"policy": text}),
            call("GET", f"sys/policies/acl/p{number}"),
            call("POST", f"sys/policy/q{number}", {"rules": text}),
            call("POST", CREATE, {"policies": [f"p{number}"]}, pt="auth.client_token"),
            call("POST", "sys/capabilities-self", {"paths": CAPABILITY_PATHS}, "pt"),
            call("GET", "kv1/a", token="pt"),
            call("POST", "kv1/x", {"a": "b"}, "pt"),
            call("POST", "kv1/x", {"c": "b"}, "pt"),
            call("GET", "kv1/x", token="pt", wrap=True),
            call("LIST", "kv1/q/x", token="pt"),
        )
    ],
    call("LIST", "sys/policies/acl"),
    call("GET", "sys/policies/acl?list=true"),
    call("LIST", "sys/policy"),
    call("GET", "sys/policy"),
    call("GET", "sys/policies"),
    call("GET", "sys/policies/rgp/x"),
    call("PUT", "sys/policies/acl/x", {"policy": ""}),
    call("PUT", "sys/policies/acl/x", {"policy": 5}),
    call("PUT", "sys/policy/x", {"policy": "", "rules": ""}),
    call("PUT", "sys/policies/acl/A B", {"policy": NARROW}),
    call("GET", "sys/policies/acl/a b"),
    call("DELETE", "sys/policies/acl/A B"),
    call("PUT", "sys/policies/acl/default", {"policy": NARROW}),
    call("PUT", "sys/policies/acl/response-wrapping", {"policy": NARROW}),
    call("DELETE", "sys/policies/acl/response-wrapping"),
    call("GET", "sys/policies/acl/response-wrapping"),
    call("PUT", "sys/policies/acl/control-group", {"policy": NARROW}),
    call("PUT", "sys/policies/acl/Root", {"policy": NARROW}),
    *[
        call("POST", "sys/capabilities-self", body)
        for body in ({"path": "a"}, {"paths": "a,b"}, {"paths": []}, {"path": 5})
    ],
    call("POST", "sys/capabilities-self", {"paths": ["a", ""]}),
    call("POST", "sys/capabilities", {"paths": ["a"]}),
    call("POST", "sys/capabilities", {"token": "{pt}", "path": "kv1/a"}),
    call("POST", "sys/capabilities-accessor", {"accessor": "nope", "path": "a"}),
    call("POST", "sys/capabilities-accessor", {"path": "a"}),
    call("GET", "sys/internal/ui/resultant-acl", token="pt"),
    call("GET", "sys/internal/ui/mounts", token="pt"),
]
MOUNT = "sys/mounts"
MOUNTS = [
    *[
        item
        for name, body in (
            ("m1", {"type": "kv", "description": "d", "config": {"default_lease_ttl": "1h"}}),
            ("m2", {"type": "kv", "options": {"version": "2"}}),
            ("m3", {"type": "kv", "options": {"version": "3"}}),
            ("m4", {"type": "generic"}),
            ("m5/deep/er", {"type": "kv", "local": True, "seal_wrap": True}),
            (
                "m6",
                {"type": "kv", "config": {"listing_visibility": "unauth", "force_no_cache": True}},
            ),
            (
                "m7",
                {
                    "type": "kv",
                    "config": {
                        "audit_non_hmac_request_keys": ["a"],
                        "allowed_response_headers": ["X-A"],
                    },
                },
            ),
            (
                "m8",
                {
                    "type": "kv",
                    "config": {"passthrough_request_headers": "X-B", "max_lease_ttl": 7200},
                },
            ),
            ("m9", {"type": "kv", "config": {"max_lease_ttl": "nope"}}),
            ("m10", {"type": "kv", "config": "nope"}),
            ("m11", {"type": "transit", "plugin_version": "v9.9.9"}),
            ("m12", {"type": "kv", "options": "version=2"}),
            ("m13", {}),
            ("m14", {"type": ""}),
            ("m15", {"type": "pki", "config": {"max_lease_ttl": "87600h"}}),
            ("m1/below", {"type": "kv"}),
            ("auth/x", {"type": "kv"}),
            ("identity", {"type": "kv"}),
            ("audit/x", {"type": "kv"}),
        )
        for item in (
            call("POST", f"{MOUNT}/{name}", body),
            call("GET", f"{MOUNT}/{name}"),
            call("GET", f"{MOUNT}/{name}/tune"),
            call(
                "POST", f"{MOUNT}/{name}/tune", {"description": "new", "default_lease_ttl": "30m"}
            ),
            call("POST", f"{MOUNT}/{name}/tune", {"max_lease_ttl": "nope"}),
            call(
                "POST",
                f"{MOUNT}/{name}/tune",
                {"listing_visibility": "hidden", "max_lease_ttl": "system"},
            ),
            call(
                "POST",
                f"{MOUNT}/{name}/tune",
                {"audit_non_hmac_response_keys": ["z"], "token_type": "batch"},
            ),
            call("POST", f"{MOUNT}/{name}/tune", {"options": {"version": "1"}}),
            call("GET", f"{MOUNT}/{name}/tune"),
            call("GET", f"sys/internal/ui/mounts/{name}"),
            call("DELETE", f"{MOUNT}/{name}"),
            call("GET", f"{MOUNT}/{name}/tune"),
        )
    ],
    call("GET", MOUNT),
    *[
        item
        for name, body in (
            (
                "a1",
                {"type": "approle", "config": {"default_lease_ttl": "1h", "token_type": "batch"}},
            ),
            ("a2", {"type": "userpass", "local": True}),
            ("a3", {"type": "jwt", "description": "x"}),
            ("a4", {"type": "nope"}),
            ("a5", {"type": "kv"}),
            ("a6", {"type": "approle", "config": {"token_type": "nope"}}),
            (
                "a7",
                {"type": "approle", "config": {"max_lease_ttl": "1h", "default_lease_ttl": "2h"}},
            ),
        )
        for item in (
            call("POST", f"sys/auth/{name}", body),
            call("GET", f"sys/auth/{name}"),
            call("GET", f"sys/auth/{name}/tune"),
            call(
                "POST", f"sys/auth/{name}/tune", {"token_type": "default-batch", "description": ""}
            ),
            call("POST", f"sys/auth/{name}/tune", {"token_type": "zz"}),
            call("POST", f"{MOUNT}/auth/{name}/tune", {"max_lease_ttl": "3h"}),
            call("GET", f"{MOUNT}/auth/{name}/tune"),
            call(
                "POST",
                f"sys/auth/{name}/tune",
                {"user_lockout_config": {"lockout_threshold": "3", "lockout_duration": "1m"}},
            ),
            call("GET", f"sys/auth/{name}/tune"),
            call("DELETE", f"sys/auth/{name}"),
        )
    ],
    call("GET", "sys/auth"),
    call("GET", "sys/auth", token=None),
    call("POST", "sys/auth/", {"type": "approle"}),
    call("POST", "sys/auth/token/x", {"type": "approle"}),
]
PKI = [
    call("POST", f"{MOUNT}/pki", {"type": "pki", "config": {"max_lease_ttl": "8760h"}}),
    call(
        "POST",
        f"{PKI_ROOT}/generate/internal",
        {"common_name": "x.example", "ttl": "8000h", "key_type": "ec", "key_bits": 256},
    ),
    call(
        "POST",
        "pki/roles/r",
        {
            "allowed_domains": "x.example",
            "allow_subdomains": True,
            "max_ttl": "72h",
            "generate_lease": True,
            "key_type": "ec",
            "key_bits": 256,
        },
    ),
    call("LIST", "pki/roles"),
    call("POST", "pki/issue/r", {"common_name": "a.x.example", "ttl": "1h"}, lease="lease_id"),
    call("POST", "sys/leases/lookup", {"lease_id": "{lease}"}),
    call("LIST", "sys/leases/lookup"),
    call("LIST", "sys/leases/lookup/pki"),
    call("LIST", "sys/leases/lookup/pki/issue"),
    call("LIST", "sys/leases/lookup/none"),
    call("POST", "sys/leases/renew", {"lease_id": "{lease}", "increment": 60}),
    call("POST", "sys/leases/renew", {}),
    call("POST", "sys/leases/lookup", {}),
    call("POST", "sys/renew", {"lease_id": "{lease}"}),
    call("GET", "sys/leases?type=irrevocable"),
    call("GET", "sys/leases/count?type=irrevocable"),
    call("GET", "sys/leases/count"),
    call("GET", "sys/leases"),
    call("PUT", "sys/leases/revoke", {"lease_id": "{lease}"}),
    call("POST", "sys/leases/lookup", {"lease_id": "{lease}"}),
    call("PUT", "sys/leases/revoke", {}),
    call("POST", "pki/issue/r", {"common_name": "a.x.example"}),
    call("POST", "pki/issue/r", {"common_name": "other.example"}),
    call("POST", "pki/issue/r", {}),
    call("POST", "pki/issue/none", {"common_name": "a.x.example"}),
    call("PUT", "sys/leases/revoke-prefix/pki/", {}),
    call("PUT", "sys/revoke-prefix/pki", {}),
    call("PUT", "sys/leases/revoke-prefix/", {}),
    call("PUT", "sys/leases/revoke-force/", {}),
    call("PUT", "sys/leases/tidy", {}),
    call("DELETE", "pki/roles/r"),
    call("GET", "pki/roles/r"),
    call("DELETE", f"{MOUNT}/pki"),
]
WRAPPING = [
    call("POST", "kv1/w", {"a": "b"}),
    call("GET", "kv1/w", wrap=True, w="wrap_info.token"),
    call("POST", "sys/wrapping/lookup", {"token": "{w}"}),
    call("POST", "sys/wrapping/lookup", {"token": "{w}"}, None),
    call("GET", "sys/wrapping/lookup", token="w"),
    call("GET", "kv1/w", token="w"),
    call("GET", SELF, token="w"),
    call("POST", "sys/wrapping/unwrap", {}, "w"),
    call("POST", "sys/wrapping/unwrap", {}, "w"),
    call(
        "POST", "sys/wrapping/wrap", {"x": {"y": [1, 2.5, None]}}, wrap=True, w2="wrap_info.token"
    ),
    call("POST", "sys/wrapping/rewrap", {"token": "{w2}"}, w3="wrap_info.token"),
    call("POST", "sys/wrapping/unwrap", {"token": "{w2}"}),
    call("POST", "sys/wrapping/lookup", {"token": "{w3}"}),
    call("POST", "sys/wrapping/unwrap", {"token": "{w3}"}),
    call("POST", "sys/wrapping/unwrap", {"token": "{w3}"}),
    call("POST", "sys/wrapping/wrap", {}, wrap=True),
    call("POST", "sys/wrapping/wrap", {"a": 1}),
    call("POST", "sys/wrapping/unwrap", {"token": 5}),
    call("POST", "sys/wrapping/unwrap", {"token": ""}),
    call("POST", "sys/wrapping/rewrap", {}),
    call("POST", "sys/wrapping/lookup", {"token": "{root}"}),
    call("POST", "sys/wrapping/unwrap", {"token": "{root}"}),
    call("LIST", "kv1/none", wrap=True),
    call("GET", "kv1/none", wrap=True),
    call("DELETE", "kv1/w", wrap=True),
    call("GET", "sys/health", token=None, wrap=True),
    call("GET", MOUNT, wrap=True, w4="wrap_info.token"),
    call("POST", "sys/wrapping/unwrap", {}, "w4"),
    call("POST", CREATE, {"policies": ["default"]}, wrap=True, w5="wrap_info.token"),
    call("POST", "sys/wrapping/unwrap", {}, "w5", inner="auth.client_token"),
    call("GET", SELF, token="inner"),
    call("GET", "sys/wrapping/unwrap", token="inner"),
]
SYS = [
    *[
        call(method, f"sys/{path}", body)
        for path in (
            "audit",
            "audit-hash/x",
            "config/state/sanitized",
            "config/reload/license",
            "host-info",
            "in-flight-req",
            "internal/counters/tokens",
            "internal/counters/entities",
            "internal/ui/feature-flags",
            "key-status",
            "leader",
            "license",
            "loggers",
            "loggers/core",
            "metrics",
            "mfa/method",
            "monitor",
            "namespaces",
            "plugins/catalog",
            "plugins/catalog/secret",
            "plugins/catalog/secret/kv",
            "plugins/catalog/database",
            "policies/password",
            "policies/password/x",
            "pprof",
            "quotas/config",
            "quotas/rate-limit",
            "raw/core",
            "remount/status/x",
            "replication/status",
            "rotate",
            "rotate/config",
            "seal-status",
            "sealwrap/rewrap",
            "storage/raft/configuration",
            "version-history",
            "ha-status",
            "experiments",
            "unseal",
            "nope",
            "tools/random",
            "tools/hash",
            "internal/specs/openapi/x",
            "init",
            "health",
            "decode-token",
        )
        for method, body in (("GET", None), ("LIST", None), ("DELETE", None))
        if (method, path)
        not in {
            ("GET", "monitor"),
            ("GET", "metrics"),
            ("GET", "pprof"),
            ("GET", "config/state/sanitized"),
        }
    ],
    *[
        call("POST", f"sys/quotas/rate-limit/{name}", body)
        for name, body in (
            ("q1", {"rate": 10}),
            ("q2", {"rate": "2.5", "interval": "10s"}),
            ("q3", {"rate": 5, "path": "kv1"}),
            ("q4", {"rate": 5, "block_interval": "1m", "path": "kv1/x"}),
            ("q5", {"rate": 0}),
            ("q6", {"rate": "x"}),
            ("q1", {"rate": 20, "path": "auth/token/"}),
            ("q7", {"rate": 20, "inheritable": True}),
        )
    ],
    *[call("GET", f"sys/quotas/rate-limit/q{number}") for number in range(1, 8)],
    call("LIST", "sys/quotas/rate-limit"),
    *[call("DELETE", f"sys/quotas/rate-limit/q{number}") for number in range(1, 8)],
    call(
        "POST",
        "sys/quotas/config",
        {"rate_limit_exempt_paths": ["sys/health"], "enable_rate_limit_response_headers": True},
    ),
    call("GET", "sys/quotas/config"),
    call(
        "POST",
        "sys/quotas/config",
        {"rate_limit_exempt_paths": [], "enable_rate_limit_response_headers": False},
    ),
    call("POST", "sys/rotate", {}),
    call("GET", "sys/key-status"),
    *[
        call("POST", "sys/rotate/config", body)
        for body in (
            {"max_operations": 5},
            {"interval": "1h"},
            {"interval": "x"},
            {"interval": "48h", "max_operations": 1000000},
        )
    ],
    call("GET", "sys/rotate/config"),
    *[
        call("POST", "sys/tools/hash", body)
        for body in (
            {},
            {"input": "aGk=", "algorithm": "sha2-224"},
            {"input": "aGk=", "algorithm": "x"},
            {"input": "aGk=", "format": "base64"},
        )
    ],
    *[call("POST", "sys/tools/random/4", {"format": text}) for text in ("hex", "base64", "x")],
    call(
        "POST",
        "sys/config/cors",
        {"enabled": True, "allowed_origins": ["http://a"], "allowed_headers": "X-A"},
    ),
    call("GET", "sys/config/cors"),
    call("DELETE", "sys/config/cors"),
    call("GET", "sys/config/cors"),
    call("PUT", "sys/config/auditing/request-headers/X-A", {}),
    call("GET", "sys/config/auditing/request-headers"),
    call("GET", "sys/config/auditing/request-headers/x-a"),
    call("DELETE", "sys/config/auditing/request-headers/X-A"),
    call("DELETE", "sys/config/auditing/request-headers/X-A"),
    call("GET", "sys/config/auditing/request-headers"),
]
CUBBYHOLE = [
    call("POST", CREATE, {"policies": ["default"]}, c1="auth.client_token"),
    call("POST", CREATE, {"policies": ["default"]}, c2="auth.client_token"),
    *[
        call(method, f"cubbyhole/{path}", body, token)
        for token in ("c1", "c2", "root", None, "bogus")
        for method, path, body in (
            ("POST", "a", {"x": 1}),
            ("GET", "a", None),
            ("POST", "a/b", {"y": [1]}),
            ("LIST", "", None),
            ("LIST", "a", None),
            ("DELETE", "a", None),
            ("GET", "a", None),
            ("POST", "a", {}),
            ("GET", "none/x", None),
            ("DELETE", "none", None),
        )
    ],
]
OPERATOR = [
    *[
        item
        for prefix in (ROTATE_ROOT, "sys/generate-root-token")
        for item in (
            call("GET", f"{prefix}/{'init' if 'rotate' in prefix else 'attempt'}"),
            call("GET", f"{prefix}/nope"),
        )
    ],
    call(
        "POST", f"{ROTATE_ROOT}/init", {"secret_shares": 3, "secret_threshold": 2}, n="data.nonce"
    ),
    call("GET", f"{ROTATE_ROOT}/init"),
    call("POST", f"{ROTATE_ROOT}/update", {"key": "{k0}", "nonce": "bad"}),
    call("POST", f"{ROTATE_ROOT}/update", {"key": "zz", "nonce": "{n}"}),
    call("POST", f"{ROTATE_ROOT}/update", {"key": "{k0}", "nonce": "{n}"}),
    call("DELETE", f"{ROTATE_ROOT}/init"),
    call("GET", f"{ROTATE_ROOT}/init"),
    *[
        call("POST", f"{ROTATE_ROOT}/init", body)
        for body in (
            {"secret_shares": 1, "secret_threshold": 2},
            {},
            {"secret_shares": 5},
            {"secret_shares": -1, "secret_threshold": 1},
            {"secret_shares": 300, "secret_threshold": 3},
        )
    ],
    call("PUT", "sys/seal", {}, None),
    call("PUT", "sys/seal", {}, "bogus"),
    call("PUT", "sys/seal", {}),
    call("GET", "sys/seal-status", token=None),
    call("GET", "sys/health", token=None),
    call("GET", "sys/health?sealedcode=299", token=None),
    call("GET", "kv1/x"),
    call("POST", "sys/capabilities-self", {"paths": ["a"]}),
    call("PUT", "sys/unseal", {"key": ""}, None),
    call("PUT", "sys/unseal", {"key": "{k0}"}, None),
    call("PUT", "sys/unseal", {"key": "{k0}"}, None),
    call("PUT", "sys/unseal", {"key": "{k1}"}, None),
    call("PUT", "sys/unseal", {"key": "{wrong}"}, None),
    call("GET", "sys/seal-status", token=None),
    call("PUT", "sys/unseal", {"key": "{k0}"}, None),
    call("PUT", "sys/unseal", {"key": "{k3}"}, None),
    call("PUT", "sys/unseal", {"key": "{k4}"}, None),
]


def of(kind: str, calls: list[Any]) -> list[Call]:
    """A list of another test on a fresh auth mount ``m``."""
    return [
        call("POST", "sys/auth/m", {"type": kind}),
        *[Call.of(listed) for listed in calls],
        call("DELETE", "sys/auth/m"),
    ]


def on_transit(calls: list[Any]) -> list[Call]:
    """A list of the transit test on a fresh mount."""
    made = call("POST", f"{MOUNT}/transit", {"type": "transit"})
    return [made, *[Call.of(listed) for listed in calls], call("DELETE", f"{MOUNT}/transit")]


AREAS: dict[str, list[Call]] = {
    "tokens": TOKENS,
    "policies": POLICIES,
    "kv2": [Call.of(listed) for listed in storage_areas.KV],
    "kv1": [Call.of(listed) for listed in storage_areas.KV1],
    "approle": [Call.of(listed) for listed in storage_areas.APPROLE],
    "userpass": of("userpass", login_areas.USERPASS),
    "identity": of("userpass", login_areas.PEOPLE),
    "identity tokens": [Call.of(listed) for listed in login_areas.IDENTITY_TOKENS],
    "jwt": of("jwt", login_areas.JWT),
    **{f"transit {name}": on_transit(calls) for name, calls in transit_area.GROUPS.items()},
    "transit kinds": [
        item
        for kind in ("aes256-gcm96", "ecdsa-p256", "hmac")
        for item in on_transit(transit_area.of_kind(kind))
    ],
    "cubbyhole": CUBBYHOLE,
    "wrapping": WRAPPING,
    "leases": PKI,
    "mounts": MOUNTS,
    "sys": SYS,
    "operator": OPERATOR,
}
