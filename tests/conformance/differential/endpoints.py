"""What generated requests are made of: endpoints with their fields, and values good and bad.

Pure. Every endpoint is one row; names are few, so that requests meet what earlier ones made.
"""

from typing import Any

from hypothesis import strategies as st

from tests.conformance.differential.sides import MERGE, Call

NAMES = st.sampled_from(["a", "b", "Deep/er", "x y", "ü"])
PLAIN = st.sampled_from(["a", "b"])
DURATIONS = st.sampled_from(
    [0, 60, "1h", "90s", "-1s", "x", "", "1d", 1.5, None, "60", True, " 7 ", "1500ms", "-500ms", []]
)
NUMBERS = st.sampled_from(
    [0, 1, 5, -1, "3", "x", "", 2.5, None, False, "0x2", "1_0", " 7 ", [], {}]
)
TRUTHS = st.sampled_from([True, False, "true", "0", "x", 1, "", None, 2, [], {}])
WORDS = st.sampled_from(
    ["a", "a,b", ["a", "b"], ["a", "a "], "", [], 5, {"k": "v"}, None, "a,,b", {}, '["a"]', [["a"]]]
)
POLICIES = st.sampled_from(
    ["narrow", "narrow,default", ["narrow"], ["NARROW "], "", [], None, [None, "narrow"], {"k": 1}]
)
MAPS = st.sampled_from(
    [{"k": "v"}, {}, {"k": 1}, "x", None, {"k": {"d": [1, None]}}, {"k": None}, [{"a": "b"}, {}]]
)
TEXTS = st.sampled_from(["aGVsbG8=", "", "!!", 5, None, "vault:v1:AAAA", True, [], {}])
CIDRS = st.sampled_from(
    ["127.0.0.0/8", ["127.0.0.1"], "nope", "", [], "10.0.0.300", None, " ", {}, 5]
)
TOKEN_FIELDS = {
    "token_ttl": DURATIONS,
    "token_max_ttl": DURATIONS,
    "token_period": DURATIONS,
    "token_explicit_max_ttl": DURATIONS,
    "token_num_uses": NUMBERS,
    "token_policies": POLICIES,
    "token_no_default_policy": TRUTHS,
    "token_bound_cidrs": CIDRS,
    "token_type": st.sampled_from(["service", "batch", "default", "x", "", None, 5]),
}
Row = tuple[str, Any, dict[str, Any]]
"""Verb, path with ``{}`` for a name, fields that may be sent."""

KV: list[Row] = [
    ("POST", "kv1/{}", {"k": MAPS, "ttl": DURATIONS}),
    ("GET", "kv1/{}", {}),
    ("DELETE", "kv1/{}", {}),
    ("LIST", "kv1/{}", {}),
    (
        "POST",
        "kv2/data/{}",
        {"data": MAPS, "options": st.sampled_from([{"cas": 0}, {"cas": 1}, {"cas": "x"}, {}, 5])},
    ),
    ("PATCH", "kv2/data/{}", {"data": MAPS, "options": st.sampled_from([{"cas": 1}, {"cas": 9}])}),
    ("GET", "kv2/data/{}", {}),
    ("GET", "kv2/data/{}?version=1", {}),
    ("GET", "kv2/data/{}?version=-2", {}),
    ("DELETE", "kv2/data/{}", {}),
    ("POST", "kv2/delete/{}", {"versions": st.sampled_from([[1], "1,2", ["x"], [], [-1], None])}),
    ("POST", "kv2/undelete/{}", {"versions": st.sampled_from([[1, 2], "1", [9], []])}),
    ("PUT", "kv2/destroy/{}", {"versions": st.sampled_from([[1], ["2"], [99], []])}),
    ("GET", "kv2/metadata/{}", {}),
    ("LIST", "kv2/metadata/{}", {}),
    (
        "POST",
        "kv2/metadata/{}",
        {
            "max_versions": NUMBERS,
            "cas_required": TRUTHS,
            "delete_version_after": DURATIONS,
            "custom_metadata": MAPS,
        },
    ),
    (
        "PATCH",
        "kv2/metadata/{}",
        {
            "max_versions": NUMBERS,
            "cas_required": TRUTHS,
            "delete_version_after": DURATIONS,
            "custom_metadata": MAPS,
        },
    ),
    ("DELETE", "kv2/metadata/{}", {}),
    ("GET", "kv2/subkeys/{}", {}),
    ("GET", "kv2/config", {}),
    ("POST", "cubbyhole/{}", {"k": MAPS}),
    ("GET", "cubbyhole/{}", {}),
    ("LIST", "cubbyhole/{}", {}),
    ("DELETE", "cubbyhole/{}", {}),
]
LOGINS: list[Row] = [
    (
        "POST",
        "auth/approle/role/{}",
        {
            **TOKEN_FIELDS,
            "secret_id_ttl": DURATIONS,
            "secret_id_num_uses": NUMBERS,
            "bind_secret_id": TRUTHS,
            "secret_id_bound_cidrs": CIDRS,
        },
    ),
    ("GET", "auth/approle/role/{}", {}),
    ("DELETE", "auth/approle/role/{}", {}),
    ("LIST", "auth/approle/role", {}),
    ("POST", "auth/approle/role/{}/role-id", {"role_id": st.sampled_from(["ra", "rb", "", 5])}),
    (
        "POST",
        "auth/approle/role/{}/custom-secret-id",
        {
            "secret_id": st.sampled_from(["sa", "sb", ""]),
            "ttl": DURATIONS,
            "num_uses": NUMBERS,
            "cidr_list": CIDRS,
            "metadata": st.sampled_from(['{"a":"b"}', "x", {"a": "b"}, ""]),
        },
    ),
    ("POST", "auth/approle/role/{}/secret-id/lookup", {"secret_id": st.sampled_from(["sa", "sb"])}),
    (
        "POST",
        "auth/approle/role/{}/secret-id/destroy",
        {"secret_id": st.sampled_from(["sa", "sb"])},
    ),
    ("POST", "auth/approle/role/{}/token-ttl", {"token_ttl": DURATIONS}),
    ("GET", "auth/approle/role/{}/token-ttl", {}),
    (
        "POST",
        "auth/approle/login",
        {
            "role_id": st.sampled_from(["ra", "rb", "no", 5]),
            "secret_id": st.sampled_from(["sa", "sb", "no", ""]),
        },
    ),
    ("POST", "auth/up/users/{}", {**TOKEN_FIELDS, "password": st.sampled_from(["p", "q", ""])}),
    ("GET", "auth/up/users/{}", {}),
    ("DELETE", "auth/up/users/{}", {}),
    ("LIST", "auth/up/users", {}),
    ("POST", "auth/up/users/{}/password", {"password": st.sampled_from(["p", "q", ""])}),
    ("POST", "auth/up/login/{}", {"password": st.sampled_from(["p", "q", 5])}),
    (
        "POST",
        "identity/entity/name/{}",
        {"metadata": MAPS, "policies": POLICIES, "disabled": TRUTHS},
    ),
    ("GET", "identity/entity/name/{}", {}),
    ("DELETE", "identity/entity/name/{}", {}),
    (
        "POST",
        "identity/group/name/{}",
        {
            "metadata": MAPS,
            "policies": POLICIES,
            "type": st.sampled_from(["internal", "external", "x"]),
        },
    ),
    ("GET", "identity/group/name/{}", {}),
    ("DELETE", "identity/group/name/{}", {}),
    (
        "POST",
        "identity/oidc/role/{}",
        {"key": st.sampled_from(["default", "x", ""]), "ttl": DURATIONS, "template": TEXTS},
    ),
    ("GET", "identity/oidc/role/{}", {}),
]
TOKENS: list[Row] = [
    (
        "POST",
        "auth/token/create",
        {
            "policies": POLICIES,
            "ttl": DURATIONS,
            "explicit_max_ttl": DURATIONS,
            "period": DURATIONS,
            "num_uses": NUMBERS,
            "renewable": TRUTHS,
            "no_parent": TRUTHS,
            "no_default_policy": TRUTHS,
            "type": st.sampled_from(["service", "batch", "x"]),
            "meta": MAPS,
            "display_name": TEXTS,
        },
    ),
    (
        "POST",
        "auth/token/roles/{}",
        {
            **TOKEN_FIELDS,
            "orphan": TRUTHS,
            "renewable": TRUTHS,
            "allowed_policies": POLICIES,
            "path_suffix": st.sampled_from(["suf", "x", "d/ee", ""]),
        },
    ),
    ("GET", "auth/token/roles/{}", {}),
    ("DELETE", "auth/token/roles/{}", {}),
    (
        "POST",
        "auth/token/create/{}",
        {"policies": POLICIES, "ttl": DURATIONS, "type": st.sampled_from(["service", "batch"])},
    ),
]
SYS: list[Row] = [
    (
        "POST",
        "sys/mounts/g{}",
        {
            "type": st.sampled_from(["kv", "kv-v2", "transit", "x", ""]),
            "description": TEXTS,
            "options": st.sampled_from([{"version": "1"}, {}, {"version": 2}]),
            "local": TRUTHS,
        },
    ),
    ("GET", "sys/mounts/g{}", {}),
    ("GET", "sys/mounts/g{}/tune", {}),
    ("DELETE", "sys/mounts/g{}", {}),
    (
        "POST",
        "sys/auth/g{}",
        {
            "type": st.sampled_from(["approle", "userpass", "x", "kv"]),
            "description": TEXTS,
            "local": TRUTHS,
        },
    ),
    ("GET", "sys/auth/g{}", {}),
    ("DELETE", "sys/auth/g{}", {}),
    (
        "POST",
        "sys/quotas/rate-limit/{}",
        {
            "rate": st.sampled_from([1000, 0, -1, "2000.5"]),
            "interval": DURATIONS,
            "path": st.sampled_from(["kv1/", "none/", "auth/up/"]),
        },
    ),
    ("GET", "sys/quotas/rate-limit/{}", {}),
    ("DELETE", "sys/quotas/rate-limit/{}", {}),
    ("POST", "sys/capabilities-self", {"paths": WORDS}),
    (
        "POST",
        "sys/tools/hash",
        {
            "input": TEXTS,
            "algorithm": st.sampled_from(["sha2-256", "sha3-512", "x"]),
            "format": st.sampled_from(["hex", "base64", "x"]),
        },
    ),
    ("GET", "sys/internal/ui/mounts/{}", {}),
    (
        "PUT",
        "sys/policies/acl/{}",
        {"policy": st.sampled_from(['path "a" { capabilities = ["read"] }', 'path "a" {', "", 5])},
    ),
    ("GET", "sys/policies/acl/{}", {}),
    ("DELETE", "sys/policies/acl/{}", {}),
]
TRANSIT: list[Row] = [
    (
        "POST",
        "transit/keys/{}",
        {
            "type": st.sampled_from(["aes256-gcm96", "ed25519", "ecdsa-p256", "x"]),
            "derived": TRUTHS,
            "exportable": TRUTHS,
        },
    ),
    ("GET", "transit/keys/{}", {}),
    ("POST", "transit/keys/{}/rotate", {}),
    (
        "POST",
        "transit/keys/{}/config",
        {
            "min_decryption_version": NUMBERS,
            "min_encryption_version": NUMBERS,
            "deletion_allowed": TRUTHS,
            "auto_rotate_period": DURATIONS,
        },
    ),
    ("DELETE", "transit/keys/{}", {}),
    ("POST", "transit/encrypt/{}", {"plaintext": TEXTS, "context": TEXTS, "key_version": NUMBERS}),
    ("POST", "transit/decrypt/{}", {"ciphertext": TEXTS, "context": TEXTS}),
    ("POST", "transit/sign/{}", {"input": TEXTS, "key_version": NUMBERS}),
    ("POST", "transit/verify/{}", {"input": TEXTS, "signature": TEXTS}),
    ("POST", "transit/hmac/{}", {"input": TEXTS, "key_version": NUMBERS}),
    ("GET", "transit/export/encryption-key/{}", {}),
]
ROWS = [*KV, *LOGINS, *TOKENS, *SYS, *TRANSIT]
CALLERS = st.sampled_from(["root"] * 6 + ["limited", "bogus", None])


@st.composite
def calls(draw: Any) -> Call:
    """One request."""
    method, path, fields = draw(st.sampled_from(ROWS))
    names = NAMES if path.startswith(("kv", "cubbyhole")) else PLAIN
    caller = draw(CALLERS)
    some = st.sampled_from(sorted(fields)) if fields else st.nothing()
    sent = draw(st.lists(some, unique=True, max_size=min(4, len(fields))))
    body = {name: draw(fields[name]) for name in sent}
    return Call(
        method,
        path.replace("{}", draw(names)),
        body if method in ("POST", "PUT", "PATCH") else None,
        caller,
        tuple(MERGE.items()) if method == "PATCH" else (),
        generated=True,
    )
